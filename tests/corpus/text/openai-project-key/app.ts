import OpenAI from "openai";
export const ai = new OpenAI({ apiKey: "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" });
