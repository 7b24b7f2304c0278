import Portkey from "portkey-ai";

export const portkey = new Portkey({
  apiKey: "2JYnLl61vuDm2icMqlJbAuIzRRz=",
  provider: "@openai-prod",
});
