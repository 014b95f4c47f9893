// What the page asks of the recogniser: the functions that the page of `asr serve` has for its server, answered by a
// worker of this page. The modules that both pages share import it by the same name.

import { openWav } from "../engine/wav_reader.js";
import { written } from "./subtitles.js";

export class RequestError extends Error {
  constructor(message, { status = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code: null, retryAfter: null });
  }
}

const UNREADABLE = 415; // the status for what would be refused again
const worker = new Worker(new URL("../engine/worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let count = 0, rate = 16000, last = null;

worker.addEventListener("message", ({ data }) => waiting.get(data.id)?.(data));
worker.addEventListener("error", (event) => {
  for (const tell of waiting.values()) tell({ type: "error", message: event.message || "The recogniser cannot be started." });
});

// Ask the worker for something; `onMessage` gets its messages. A promise of the one that ends it, `until`.
function ask(type, details, { until, onMessage = () => {}, transfer = [], signal = null }) {
  const id = ++count;
  return new Promise((resolve, reject) => {
    const settle = (call, value) => {
      waiting.delete(id);
      call(value);
    };
    waiting.set(id, (message) => {
      if (message.type === "error") settle(reject, new RequestError(message.message));
      else if (message.type === "aborted") settle(reject, new DOMException("", "AbortError"));
      else if (message.type === until) settle(resolve, message);
      else onMessage(message);
    });
    signal?.addEventListener("abort", () => worker.postMessage({ type: "abort", id }));
    worker.postMessage({ type, id, ...details }, transfer);
  });
}

// Load a model; `onProgress` gets the bytes that are loaded, and all.
export async function loadModel(name, runtimeBytes, onProgress) {
  const base = new URL(`models/${encodeURIComponent(name)}/`, document.baseURI).href;
  const { card } = await ask("load", { base, runtimeBytes }, { until: "loaded", onMessage: ({ loaded, total }) => onProgress(loaded, total) });
  rate = card.rate;
  return card;
}

// The seconds of the recording that was recognised last, and those that it took.
export const lastRun = () => last;

// `onText` gets the text so far and the second that it reaches.
export async function transcribe(file, name, { onUpload, onText, signal }) {
  onUpload(1);
  last = null;
  const samples = (await openWav(file)) ? null : await decode(file);
  signal.throwIfAborted();
  const { result, seconds } = await ask("transcribe", samples ? { samples } : { file }, {
    until: "done", signal, transfer: samples ? [samples.buffer] : [], onMessage: ({ text, seconds: end }) => onText(text, end),
  });
  last = { duration: result.duration, seconds };
  return result;
}

// The samples of a file that the browser decodes, resampled for the model, its channels mixed.
async function decode(file) {
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new RequestError("This browser cannot read it as sound. It reads WAV of any length, and what it can play.", { status: UNREADABLE });
  }
  const mixed = sound.getChannelData(0);
  for (let channel = 1; channel < sound.numberOfChannels; channel++) {
    const other = sound.getChannelData(channel);
    for (let place = 0; place < mixed.length; place++) mixed[place] += other[place];
  }
  return mixed.map((one) => one / sound.numberOfChannels); // a copy, which can be handed over
}

export const transcriptFile = async (format, transcript) => written(format, transcript);

export async function saveCorrection() {
  throw new RequestError("This page keeps nothing.");
}

// A stream for live recognition, with the interface of a WebSocket to `asr serve`.
export function openLive(streamRate) {
  return new LiveSocket(streamRate);
}

class LiveSocket {
  readyState = WebSocket.CONNECTING;
  #id = ++count;

  constructor(streamRate) {
    waiting.set(this.#id, ({ type, event, message }) => {
      if (type === "event") this.#tell(event);
      else if (type === "error") this.#tell({ type: "error", error: { message } });
      else if (type === "closed") this.#close();
    });
    worker.postMessage({ type: "listen", id: this.#id, rate: streamRate });
    queueMicrotask(() => {
      this.readyState = WebSocket.OPEN;
      this.onopen?.();
    });
  }

  send(message) {
    if (typeof message === "string") worker.postMessage({ type: "end", id: this.#id });
    else worker.postMessage({ type: "samples", id: this.#id, samples: new Int16Array(message) });
  }

  close() {
    worker.postMessage({ type: "close", id: this.#id });
  }

  #tell(event) {
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  #close() {
    waiting.delete(this.#id);
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }
}
