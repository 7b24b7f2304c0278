type Claims = { "https://api.openai.com/auth"?: { account: string } };
const account = claims["https://api.openai.com/auth"]?.account;
const ALLOWED = ["https://api.openai.com", "https://api.anthropic.com/v1"];
export const Field = () => <input placeholder="https://api.openai.com/v1" />;
if (isProvider(url, "https://api.groq.com/openai/v1")) throw new Error("https://api.groq.com/openai/v1 is closed");
