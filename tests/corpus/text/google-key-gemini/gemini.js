import { GoogleGenerativeAI } from "@google/generative-ai";
const genAI = new GoogleGenerativeAI("AIzatZ5kVRD9g-IEwdLly1Zkp-2MoA6mb-Z0ZDu");
