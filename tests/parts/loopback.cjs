// Preload for the open-source Portkey gateway, which listens on every interface and has no
// option to change that: `node -r ./loopback.cjs …/build/start-server.js --port=N --headless`.
// Every TCP listener of the process is bound to 127.0.0.1; pipes and descriptors are untouched.
"use strict";

const net = require("node:net");

const HOST = "127.0.0.1";
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (first, ...rest) {
  const number = typeof first === "number" || (typeof first === "string" && /^\d+$/.test(first));
  if (number) {
    const done = rest.find((argument) => typeof argument === "function");
    return listen.call(this, { port: Number(first), host: HOST }, done);
  }
  if (first !== null && typeof first === "object" && first.port !== undefined) {
    return listen.call(this, { ...first, host: HOST }, ...rest);
  }
  return listen.call(this, first, ...rest);
};
