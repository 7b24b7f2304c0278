process.env.OPENROUTER_API_KEY = originalOpenRouterApiKey;
process.env.OPENAI_API_KEY = "sk-1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p7q8r9s0t1u2v3w4x";
