export default {
  use: { baseURL: "http://localhost:3000" },
  webServer: { url: "http://127.0.0.1:8080" },
};
