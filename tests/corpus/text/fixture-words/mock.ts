export const key = "sk-proj-this-is-not-a-real-key-only-for-unit-tests-of-the-client";
