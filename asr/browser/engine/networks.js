// Runs a model's graph by ONNX Runtime Web, in one thread: threads need headers that many hosts of static files lack.

import { Frames } from "./features.js";
import { joinPlanes } from "./tensors.js";
import { LogProbs } from "./windows.js";

const NEXT_STATE = "next_";

export async function loadNetwork(runtime, card, content) {
  const session = await runtime.InferenceSession.create(joinPlanes(content), { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  return card.carries_state ? new CausalNetwork(runtime, session, card) : new WholeNetwork(runtime, session);
}

class Network {
  constructor(runtime, session) {
    [this.runtime, this.session] = [runtime, session];
  }

  tensor(frames) {
    return new this.runtime.Tensor("float32", frames.values, [1, frames.count, frames.width]);
  }

  // The log-probabilities of the only row of an output.
  static logProbs({ dims: [, steps, symbols], data }) {
    return new LogProbs(steps, symbols, Float32Array.from(data));
  }

  async release() {
    await this.session.release();
  }
}

class WholeNetwork extends Network {
  // The log-probabilities of all output layers for normalised frames.
  async run(frames) {
    const counts = new this.runtime.Tensor("int32", Int32Array.of(frames.count), [1]);
    const { log_probs: output } = await this.session.run({ frames: this.tensor(frames), frame_counts: counts });
    return Network.logProbs(output);
  }
}

// A causal model, whole or block by block: as OnnxStreamingEngine of asr/acoustic/runtimes/onnx_graph.py.
class CausalNetwork extends Network {
  constructor(runtime, session, { subsampling, delay_steps: delay, features }) {
    super(runtime, session);
    Object.assign(this, { subsampling, delay, mels: features.mels, symbols: 0 });
    this.shapes = new Map(session.inputMetadata.filter(({ name }) => name !== "frames").map(({ name, shape }) => [name, [1, ...shape.slice(1)]]));
  }

  async run(frames) {
    return (await this.step(frames, null, true)).logProbs;
  }

  // The next frames of a stream, after a state, null at its beginning: the log-probabilities that are known now, and
  // the state after them. With `isLast`, all that are left.
  async step(frames, state, isLast = false) {
    const { subsampling, delay, mels } = this;
    state ??= { waiting: new Frames(0, mels), tensors: this.start(), late: delay };
    const all = Frames.join([state.waiting, frames], mels);
    // The graph reads whole steps; after the last one come zeros, as many as the model looks ahead.
    const missing = isLast ? ((subsampling - (all.count % subsampling)) % subsampling) + delay * subsampling : 0;
    const steps = Math.floor((all.count + missing) / subsampling);
    if (!steps) return { logProbs: new LogProbs(0, this.symbols), state: { ...state, waiting: all } };
    const block = Frames.join([all.slice(0, Math.min(all.count, steps * subsampling)), new Frames(missing, mels)], mels);
    const outputs = await this.session.run({ frames: this.tensor(block), ...state.tensors });
    const logProbs = Network.logProbs(outputs.log_probs);
    this.symbols = logProbs.symbols;
    const tensors = Object.fromEntries(Object.keys(state.tensors).map((name) => [name, outputs[NEXT_STATE + name]]));
    const waiting = isLast ? new Frames(0, mels) : all.slice(steps * subsampling);
    return { logProbs: logProbs.slice(state.late), state: { waiting, tensors, late: Math.max(0, state.late - steps) } };
  }

  start() {
    return Object.fromEntries([...this.shapes].map(([name, shape]) => {
      const values = new Float32Array(shape.reduce((product, one) => product * one, 1));
      return [name, new this.runtime.Tensor("float32", values, shape)];
    }));
  }
}
