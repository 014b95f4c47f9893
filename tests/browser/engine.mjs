// Answers the questions of the tests with the modules of the page, outside a browser. Reads JSON, writes JSON; arrays
// are {type, shape, data} with their bytes in base64.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { folder, page, runtime, calls } = JSON.parse(readFileSync(0, "utf8"));
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`));
const { Frames, LogMel } = await load("features");
const { LogProbs, Stitcher, WindowCutter } = await load("windows");
const { Recogniser } = await load("recogniser");
const { Resampler } = await load("resampler");
const { Session } = await load("live");
const { readTensors, unpack } = await load("tensors");
const { loadNetwork } = await load("networks");
const { mix, mixed } = await load("hashes");
const { openWav } = await load("wav_reader");
const { written } = await import(pathToFileURL(`${page}/subtitles.js`));

const TYPES = { float32: Float32Array, float64: Float64Array, int16: Int16Array, uint8: Uint8Array };
function decoded({ type, data }) {
  const bytes = Buffer.from(data, "base64");
  return new TYPES[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
const encoded = (values, shape = [values.length]) => ({
  type: values.constructor.name.replace("Array", "").toLowerCase(), shape, data: Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64"),
});
const rows = (array) => new LogProbs(array.shape[0], array.shape[1], decoded(array));

let ort = null;
async function readRuntime() {
  if (ort) return ort;
  ort = await import(pathToFileURL(`${runtime}/ort.wasm.bundle.min.mjs`));
  ort.env.wasm.numThreads = 1;
  const wasm = readFileSync(`${runtime}/ort-wasm-simd-threaded.wasm`);
  ort.env.wasm.wasmBinary = wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.length);
  return ort;
}

async function open(model, hasNetwork = false) {
  const card = JSON.parse(readFileSync(`${model}/model.json`)), files = {};
  for (const name of Object.keys(card.files)) files[name.replace(".bin", "")] = await unpack(readFileSync(`${model}/${name}`));
  return new Recogniser(card, files, hasNetwork ? await loadNetwork(await readRuntime(), card, files.graph) : null);
}

const WORK = {
  hashes: ({ numbers }) => numbers.map((number) => {
    mix(mixed.high, mixed.low, number);
    return [mixed.high, mixed.low];
  }),

  async features({ model, samples }) {
    const { logMel } = await open(model), frames = logMel.logMel(decoded(samples));
    const shape = [frames.count, frames.width];
    return { logMel: encoded(frames.values, shape), normalized: encoded(logMel.normalize(frames).values, shape) };
  },

  windows({ samples, rate, step, sizes, logProbs, stepSeconds, silent }) {
    const all = decoded(samples), cutter = new WindowCutter(rate, step), stitcher = new Stitcher(stepSeconds), found = [];
    const take = (windows) => { for (const one of windows) found.push(one); };
    for (let start = 0, turn = 0; start < all.length; start += sizes[turn++ % sizes.length]) take(cutter.push(all.slice(start, start + sizes[turn % sizes.length])));
    take(cutter.finish());
    const outputs = rows(logProbs), stretches = [];
    found.forEach((window, place) => {
      const steps = Math.ceil(window.samples.length / step), output = silent.includes(place) ? null : outputs.slice(window.firstStep, window.firstStep + steps);
      for (const one of stitcher.push(window, output)) stretches.push(one);
    });
    for (const one of stitcher.finish()) stretches.push(one);
    return {
      windows: found.map(({ firstStep, cut, end, samples: { length } }) => [firstStep, cut, end, length]),
      stretches: stretches.map(({ firstStep, logProbs: { steps, values } }) => [firstStep, steps, values.reduce((sum, one) => sum + one, 0)]),
    };
  },

  async decode({ model, utterances, blocks }) {
    const recogniser = await open(model), { decoder } = recogniser;
    return utterances.map((one) => {
      const logProbs = rows(one), found = decoder.decode(logProbs), stream = decoder.stream(), partial = [];
      for (let start = 0; start < logProbs.steps; start += blocks) {
        stream.advance(logProbs.slice(start, start + blocks));
        partial.push([stream.best().text, stream.settled.join(""), stream.lastStep]);
      }
      const words = recogniser.words(0, logProbs, found);
      return { text: found.text, score: found.score, steps: found.steps, words, streamed: stream.finish().text, partial };
    });
  },

  subtitles: ({ transcripts, formats }) => transcripts.map((one) => Object.fromEntries(formats.map((format) => [format, written(format, one)]))),

  resample({ samples, from, to, sizes }) {
    const all = decoded(samples), resampler = new Resampler(from, to), parts = [];
    for (let start = 0, turn = 0; start < all.length; turn++) {
      const size = sizes[turn % sizes.length];
      parts.push(...resampler.push(all.slice(start, start + size)));
      start += size;
    }
    return encoded(Float32Array.from([...parts, ...resampler.finish()]));
  },

  wav: async ({ files }) => Promise.all(files.map(async (path) => {
    const wav = await openWav(new Blob([readFileSync(path)]));
    if (!wav) return null;
    const parts = [];
    for await (const block of wav.blocks()) parts.push(...block);
    return { rate: wav.rate, samples: encoded(Float32Array.from(parts)) };
  })),

  async transcribe({ model, recordings }) {
    const recogniser = await open(model, true), results = [];
    for (const samples of recordings) {
      const recording = recogniser.recording();
      for await (const text of recording.push(decoded(samples))) void text;
      results.push(await recording.finish());
    }
    return results;
  },

  // A live stream, as fast as it goes.
  async live({ model, samples }) {
    const events = [], session = new Session(await open(model, true), (event) => events.push(event)), all = decoded(samples);
    for (let start = 0; start < all.length; start += session.interval) {
      session.push(all.slice(start, start + session.interval));
      if (session.isReady) await session.advance();
    }
    await session.advance(true);
    return events;
  },
};

const answers = [];
for (const { name, ...details } of calls) answers.push(await WORK[name](details));
process.stdout.write(JSON.stringify(answers));
