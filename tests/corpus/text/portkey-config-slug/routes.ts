const portkey = new Portkey({ apiKey: env("PORTKEY_API_KEY"), config: "pc-wid41h6y", virtualKey: "openai-124e8f" });
