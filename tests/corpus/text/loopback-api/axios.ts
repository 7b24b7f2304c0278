export const api = axios.create({ baseURL: "http://localhost:8000/v1" });
