export const isGroq = (url: string) => url.startsWith("https://api.groq.com");
export const same = base === `https://api.openai.com/v1`;
