// Cuts recordings of any length into overlapping windows, and joins the model's outputs for them: as
// asr/recognition/windows.py does, so that the texts are the same.

import { roundHalfEven } from "./features.js";

const WHOLE_SECONDS = 35, SHORTEST_SECONDS = 5, LONGEST_SECONDS = 10, OVERLAP_SECONDS = 1;
const QUIET_SECONDS = 0.2;
export const SILENCE_PEAK = 1e-4;
const SEAM_MARGIN = 0.25, SEAM_STEPS = 5;
const SHORTEST_STRETCH_SECONDS = 15, LONGEST_STRETCH_SECONDS = 60;
const CERTAIN = -0.05;

export const isSilent = (samples) => samples.every((one) => Math.abs(one) < SILENCE_PEAK);

// The model's output for some steps: rows of natural log-probabilities, one behind the other.
export class LogProbs {
  constructor(steps, symbols, values = new Float32Array(steps * symbols)) {
    [this.steps, this.symbols, this.values] = [steps, symbols, values];
  }

  slice(first, end = this.steps) {
    first = Math.min(Math.max(first, 0), this.steps);
    end = Math.min(Math.max(end, first), this.steps);
    return new LogProbs(end - first, this.symbols, this.values.subarray(first * this.symbols, end * this.symbols));
  }

  at(step, symbol) {
    return this.values[step * this.symbols + symbol];
  }

  static join(parts) {
    if (parts.length === 1) return parts[0];
    const all = new LogProbs(parts.reduce((sum, one) => sum + one.steps, 0), parts[0]?.symbols ?? 0);
    let place = 0;
    for (const one of parts) {
      all.values.set(one.values, place);
      place += one.values.length;
    }
    return all;
  }

  // Certain blanks: the model does not run on silence.
  static blanks(steps, symbols) {
    const all = new LogProbs(steps, symbols);
    for (let place = 0; place < all.values.length; place++) all.values[place] = place % symbols ? -Infinity : 0;
    return all;
  }
}

// The first place of the largest sum of `width` neighbours, with a sign of -1 of the smallest; and that sum.
export function bestSum(values, width, sign = 1) {
  let best = 0, highest = -Infinity;
  for (let start = 0; start + width <= values.length; start++) {
    let sum = 0;
    for (let place = start; place < start + width; place++) sum += values[place];
    if (sign * sum > highest) [best, highest] = [start, sign * sum];
  }
  return [best, sign * highest];
}

// Cuts a recording that arrives block by block. Positions of windows are in steps from the recording's start.
export class WindowCutter {
  #blocks = [];
  #offset = 0; // of the first sample that is kept
  #kept = 0;
  #cut = 0;

  constructor(sampleRate, stepSamples) {
    const steps = (seconds) => Math.floor(Math.floor(seconds * sampleRate) / stepSamples) * stepSamples;
    this.step = stepSamples;
    this.hop = Math.floor(sampleRate / 100);
    this.whole = steps(WHOLE_SECONDS);
    this.shortest = steps(SHORTEST_SECONDS);
    this.longest = steps(LONGEST_SECONDS);
    this.overlap = steps(OVERLAP_SECONDS);
  }

  get samples() {
    return this.#offset + this.#kept;
  }

  *push(samples) {
    this.#blocks.push(samples);
    this.#kept += samples.length;
    yield* this.#windows(this.#cut ? this.longest + this.overlap : this.whole + 1);
  }

  *finish() {
    if (this.samples > this.whole) yield* this.#windows(this.longest);
    if (this.samples > this.#cut || !this.samples) yield this.#window(this.samples);
  }

  *#windows(needed) {
    while (this.samples - this.#cut > needed) {
      const window = this.#window(this.#nextCut());
      this.#cut = window.end * this.step;
      this.#dropBefore(Math.max(0, this.#cut - this.overlap));
      yield window;
      needed = Math.min(needed, this.longest + this.overlap);
    }
  }

  #window(end) {
    const kept = this.#all();
    const first = Math.max(0, this.#cut - this.overlap), last = Math.min(end + this.overlap, this.samples);
    return {
      firstStep: Math.floor(first / this.step),
      cut: Math.floor(this.#cut / this.step),
      end: Math.ceil(end / this.step),
      samples: kept.slice(first - this.#offset, last - this.#offset),
    };
  }

  // The quietest position between the shortest and the longest window.
  #nextCut() {
    const first = this.#cut + this.shortest - this.#offset, last = this.#cut + this.longest - this.#offset;
    const samples = this.#all(), energy = new Float64Array(Math.floor((last - first) / this.hop));
    for (let block = 0; block < energy.length; block++) {
      const start = first + block * this.hop;
      for (let place = start; place < start + this.hop; place++) energy[block] += samples[place] ** 2;
    }
    const width = Math.floor(QUIET_SECONDS * 100);
    const quietest = first + (bestSum(energy, width, -1)[0] + Math.floor(width / 2)) * this.hop;
    return Math.floor((this.#offset + quietest) / this.step) * this.step;
  }

  #all() {
    if (this.#blocks.length !== 1) {
      const joined = new Float32Array(this.#kept);
      let place = 0;
      for (const block of this.#blocks) {
        joined.set(block, place);
        place += block.length;
      }
      this.#blocks = [joined];
    }
    return this.#blocks[0];
  }

  #dropBefore(position) {
    this.#blocks = [this.#all().slice(position - this.#offset)];
    this.#kept -= position - this.#offset;
    this.#offset = position;
  }
}

// Joins the outputs for overlapping windows, and splits them into stretches, mostly in pauses.
export class Stitcher {
  #last = null;
  #logProbs = null;
  #from = 0;
  #parts = [];
  #first = 0;

  constructor(stepSeconds) {
    this.shortest = roundHalfEven(SHORTEST_STRETCH_SECONDS / stepSeconds);
    this.longest = roundHalfEven(LONGEST_STRETCH_SECONDS / stepSeconds);
  }

  // The next window's log-probabilities, null if it is silent; yields the stretches that are complete.
  *push(window, logProbs) {
    let seam = window.cut, pauses = false;
    if (this.#last && this.#logProbs) {
      if (logProbs) [seam, pauses] = findSeam(this.#last, this.#logProbs, window, logProbs, this.#from);
      yield* this.#take(seam, pauses, logProbs === null);
    }
    [this.#last, this.#logProbs, this.#from] = [window, logProbs, seam];
  }

  *finish() {
    if (this.#last && this.#logProbs) yield* this.#take(this.#last.firstStep + this.#logProbs.steps, true, true);
  }

  *#take(end, pauses, ends) {
    const first = this.#last.firstStep;
    const part = this.#logProbs.slice(this.#from - first, end - first);
    if (!this.#parts.length) this.#first = this.#from;
    this.#parts.push(part);
    const steps = this.#parts.reduce((sum, one) => sum + one.steps, 0);
    if (ends || steps >= this.longest || (steps >= this.shortest && pauses)) {
      yield { firstStep: this.#first, logProbs: LogProbs.join(this.#parts) };
      this.#parts = [];
    }
  }
}

// The step from which the later window is used, where both outputs are blank; and whether that is certain.
function findSeam(before, earlier, after, later, start) {
  const margin = Math.floor(SEAM_MARGIN * (after.cut - after.firstStep));
  const first = Math.max(after.firstStep + margin, start + 1);
  const last = Math.min(before.firstStep + earlier.steps, after.firstStep + later.steps) - margin;
  if (last - first < SEAM_STEPS) return [Math.max(after.cut, start), false];
  const blank = new Float32Array(last - first);
  for (let step = first; step < last; step++) {
    blank[step - first] = earlier.at(step - before.firstStep, 0) + later.at(step - after.firstStep, 0);
  }
  const [place, highest] = bestSum(blank, SEAM_STEPS);
  return [first + place + Math.floor(SEAM_STEPS / 2), highest > 2 * SEAM_STEPS * CERTAIN];
}
