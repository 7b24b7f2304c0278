export const firebaseConfig = {
  apiKey: "AIzaSvLjwDsNxq3jVR_0jWdI-CibheI3p-qE7OE",
  authDomain: "x.firebaseapp.com",
};
