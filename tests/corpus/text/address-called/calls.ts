const files = await fetch(`https://api.openai.com/v1/files/${id}`, { headers });
const client = new OpenAI({ apiKey, baseURL: "https://api.groq.com/openai/v1" });
return openAICompatible("https://api.x.ai/v1/", config);
