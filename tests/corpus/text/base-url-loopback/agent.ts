import { createOpenAI } from "@ai-sdk/openai";
export const ai = createOpenAI({
  baseURL: "http://localhost:11434/v1",
});
