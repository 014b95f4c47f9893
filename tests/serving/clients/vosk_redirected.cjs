// Preloaded by node: WebSockets of the package `ws` go to the address in ASR_VOSK_ADDRESS.
const WebSocket = require(`${process.env.ASR_NODE_MODULES}/ws`);
const Module = require("module");
const load = Module._load;
Module._load = function (name, ...rest) {
  if (name !== "ws") return load.call(this, name, ...rest);
  return class extends WebSocket {
    constructor() {
      super(process.env.ASR_VOSK_ADDRESS);
    }
  };
};
