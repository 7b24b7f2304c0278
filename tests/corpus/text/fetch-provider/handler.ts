export default () => fetch(
  "https://generativelanguage.googleapis.com/v1beta/models",
);
