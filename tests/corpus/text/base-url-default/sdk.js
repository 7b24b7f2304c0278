const base = process.env.OPENAI_BASE_URL ?? "https://api.openai.com/v1";
