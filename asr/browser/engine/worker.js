// The worker of the page: loads a model, recognises recordings one after the other, and one live stream.

import { env, InferenceSession, Tensor } from "../runtime/ort.mjs";
import { Session } from "./live.js";
import { loadNetwork } from "./networks.js";
import { Recogniser } from "./recogniser.js";
import { Resampler } from "./resampler.js";
import { download } from "./tensors.js";
import { openWav } from "./wav_reader.js";

const PART_SECONDS = 20;
const HALF_SCALE = 32768;

let isRuntimeReady = false, recogniser = null, live = null, liveEnded = Promise.resolve();
const aborted = new Set();
const tell = (type, id, more = {}) => postMessage({ type, id, ...more });

async function load(id, { base, runtimeBytes }) {
  await liveEnded; // it still uses the model before
  const card = await (await fetch(new URL("model.json", base))).json();
  const names = Object.keys(card.files), total = Object.values(card.files).reduce((sum, one) => sum + one, 0) + (isRuntimeReady ? 0 : runtimeBytes);
  let loaded = 0;
  const onBytes = (count) => tell("progress", id, { loaded: (loaded += count), total });
  const wasm = isRuntimeReady ? null : download(new URL("../runtime/ort.bin", import.meta.url), onBytes);
  const contents = await Promise.all(names.map((name) => download(new URL(name, base), onBytes)));
  if (wasm) {
    env.wasm.wasmBinary = await wasm;
    env.wasm.numThreads = 1;
    isRuntimeReady = true;
  }
  const files = Object.fromEntries(names.map((name, place) => [name.replace(/\..*$/, ""), contents[place]]));
  const network = await loadNetwork({ InferenceSession, Tensor }, card, files.graph);
  const before = recogniser;
  recogniser = new Recogniser(card, files, network);
  await before?.network.release();
  tell("loaded", id, { card: { name: card.name, decoder: card.decoder_name, rate: recogniser.rate, licences: card.licences } });
}

async function transcribe(id, { file, samples }) {
  const wav = file ? await openWav(file) : null, started = performance.now();
  const recording = recogniser.recording(), { rate } = recogniser;
  const resampler = new Resampler(wav ? wav.rate : rate, rate);
  const blocks = wav ? wav.blocks() : parts(samples, PART_SECONDS * rate);
  let wait = 0;
  const take = async (block) => {
    for await (const text of recording.push(block)) {
      if (aborted.has(id)) return false;
      tell("text", id, { text, seconds: recording.doneSeconds });
      const paused = performance.now();
      await liveEnded; // what is spoken now comes first
      wait += performance.now() - paused;
    }
    return !aborted.has(id);
  };
  for await (const block of blocks) if (!(await take(resampler.push(block)))) return tell("aborted", id);
  if (!(await take(resampler.finish()))) return tell("aborted", id);
  const result = await recording.finish();
  tell("done", id, { result, seconds: (performance.now() - started - wait) / 1000 });
}

function* parts(samples, size) {
  for (let start = 0; start < samples.length; start += size) yield samples.subarray(start, start + size);
}

// One live stream: samples come in messages, and are recognised as fast as this machine can.
function listen(id, { rate }) {
  const session = new Session(recogniser, (event) => tell("event", id, { event })), resampler = new Resampler(rate, recogniser.rate);
  let isBusy = false, isEnding = false, end;
  liveEnded = new Promise((resolve) => { end = resolve; });
  const work = async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      while (session.isReady) await session.advance();
      if (isEnding) {
        await session.advance(true);
        stop();
      }
    } catch (error) {
      tell("error", id, { message: error.message });
      stop();
    }
    isBusy = false;
  };
  const stop = () => {
    live = null;
    end();
    tell("closed", id);
  };
  live = {
    id,
    take(samples) {
      session.push(resampler.push(Float32Array.from(samples, (one) => one / HALF_SCALE)));
      work();
    },
    end() {
      session.push(resampler.finish());
      isEnding = true;
      work();
    },
    stop,
  };
}

let last = Promise.resolve();
const inTurn = (id, work) => {
  last = last.then(work).catch((error) => tell("error", id, { message: error.message })).finally(() => aborted.delete(id));
};

addEventListener("message", ({ data: { type, id, ...rest } }) => {
  if (type === "load") inTurn(id, () => load(id, rest));
  else if (type === "transcribe") inTurn(id, () => (aborted.has(id) ? tell("aborted", id) : transcribe(id, rest)));
  else if (type === "abort") aborted.add(id);
  else if (type === "listen") listen(id, rest);
  else if (live?.id === id) {
    if (type === "samples") live.take(rest.samples);
    else if (type === "end") live.end();
    else if (type === "close") live.stop();
  }
});
