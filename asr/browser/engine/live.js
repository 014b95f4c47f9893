// Recognises speech while it is spoken, as asr/recognition/session.py does: samples in, events out.

import { Frames, roundHalfEven } from "./features.js";
import { milliseconds } from "./recogniser.js";
import { bestSum, LogProbs, SILENCE_PEAK } from "./windows.js";

// The defaults of asr/settings/live.py.
const INTERVAL_SECONDS = 0.12, LEFT_SECONDS = 3, RIGHT_SECONDS = 0.64, BEAM_WIDTH = 64;
const SENTENCE_END_SECONDS = 0.45, SENTENCE_END_LOG_PROB = -2.5, SILENCE_SECONDS = 0.7, LONGEST_SECONDS = 20;
const SHORT_PAUSE_SECONDS = 0.3, PATIENCE_SECONDS = 10;
const LEAD_SECONDS = 0.5, EMPTY_SECONDS = 3, KEPT_SECONDS = 1, COMPLETE_SECONDS = 0.1, QUIET_SECONDS = 0.1;
const RESTART_SECONDS = 1; // of digital silence, after which a causal model begins again

// The latest samples of a stream, by their position in it.
class SampleBuffer {
  #samples = new Float32Array(0);
  #first = 0;
  end = 0;
  soundEnd = 0; // the position after the last sample that is not silence

  push(samples) {
    const kept = this.end - this.#first;
    if (kept + samples.length > this.#samples.length) {
      const larger = new Float32Array(2 * (kept + samples.length));
      larger.set(this.#samples.subarray(0, kept));
      this.#samples = larger;
    }
    this.#samples.set(samples, kept);
    const loud = samples.findLastIndex((one) => Math.abs(one) >= SILENCE_PEAK);
    if (loud >= 0) this.soundEnd = this.end + loud + 1;
    this.end += samples.length;
  }

  slice(first, end) {
    return this.#samples.slice(Math.max(0, first - this.#first), Math.max(0, Math.min(end, this.end) - this.#first));
  }

  dropBefore(position) {
    const dropped = Math.min(position, this.end) - this.#first;
    if (dropped <= 0) return;
    this.#samples.copyWithin(0, dropped, this.end - this.#first);
    this.#first += dropped;
  }
}

// The frames of a stream, each computed once, when the samples under its analysis window have all come.
class StreamFrames {
  #count = 0;

  constructor(logMel) {
    this.logMel = logMel;
    this.edge = Math.ceil(logMel.windowSamples / (2 * logMel.hop)); // frames that an edge of samples changes
  }

  get firstSample() {
    return Math.max(0, (this.#count - this.edge) * this.logMel.hop);
  }

  take(samples, isLast) {
    const { hop, windowSamples, mels } = this.logMel, first = this.#count;
    const end = isLast ? 1 + Math.floor(samples.end / hop) : Math.floor(Math.max(0, samples.end - Math.floor(windowSamples / 2)) / hop);
    if (end <= first) return new Frames(0, mels);
    const context = Math.min(first, this.edge);
    const frames = this.logMel.logMel(samples.slice((first - context) * hop, samples.end));
    this.#count = end;
    return frames.slice(context, context + end - first);
  }
}

// A window that ends where the stream ends: left context, new samples, right context. For bidirectional models.
class SlidingWindow {
  #frames;
  #firstFrame = 0;
  #nextStep = 0;

  constructor(recogniser) {
    this.recogniser = recogniser;
    this.stream = new StreamFrames(recogniser.logMel);
    this.left = Math.max(1, roundHalfEven(LEFT_SECONDS / recogniser.stepSeconds));
    this.right = roundHalfEven(RIGHT_SECONDS / recogniser.stepSeconds);
    this.#frames = new Frames(0, recogniser.logMel.mels);
  }

  get firstSample() {
    return this.stream.firstSample;
  }

  // The log-probabilities of all steps from the last final one, and how many of them are final.
  async run(samples, isLast) {
    const { subsampling: scale, logMel, card } = this.recogniser;
    this.#frames = Frames.join([this.#frames, this.stream.take(samples, isLast)], logMel.mels);
    const endFrame = this.#firstFrame + this.#frames.count;
    const endStep = isLast ? Math.ceil(endFrame / scale) : Math.floor(endFrame / scale);
    const firstStep = Math.max(0, this.#nextStep - this.left);
    let frames = this.#frames.slice(firstStep * scale - this.#firstFrame);
    if (!isLast) frames = frames.slice(0, (endStep - firstStep) * scale);
    const final = Math.max(this.#nextStep, isLast ? endStep : endStep - this.right);
    const isQuiet = samples.soundEnd <= firstStep * scale * logMel.hop || !frames.count;
    const logProbs = isQuiet ? LogProbs.blanks(endStep - firstStep, card.output[1] - card.output[0]) : await this.recogniser.logProbs(frames);
    const output = { firstStep: this.#nextStep, logProbs: logProbs.slice(this.#nextStep - firstStep), final: final - this.#nextStep };
    this.#nextStep = final;
    const kept = Math.max(0, final - this.left) * scale;
    this.#frames = this.#frames.slice(kept - this.#firstFrame);
    this.#firstFrame = kept;
    return output;
  }
}

// A causal model over a stream: each frame is computed, normalised and run once.
class CarriedState {
  #waiting;
  #state = null;
  #runSteps = 0;
  #nextStep = 0;

  constructor(recogniser) {
    const { logMel } = recogniser;
    this.recogniser = recogniser;
    this.stream = new StreamFrames(logMel);
    const running = logMel.settings.normalization === "running" ? logMel.running() : null;
    this.normalize = (frames) => (running ? running.take(frames) : logMel.normalize(frames));
    this.none = new Frames(0, logMel.mels);
    this.#waiting = this.none;
  }

  get firstSample() {
    return this.stream.firstSample;
  }

  async run(samples, isLast) {
    const { subsampling, logMel, stepSamples, rate, card } = this.recogniser, symbols = card.output[1] - card.output[0];
    const frames = Frames.join([this.#waiting, this.normalize(this.stream.take(samples, isLast))], logMel.mels);
    const count = isLast ? Math.ceil(frames.count / subsampling) : Math.floor(frames.count / subsampling);
    const block = frames.slice(0, Math.min(frames.count, count * subsampling));
    this.#waiting = frames.slice(block.count);
    const begins = this.#runSteps * stepSamples;
    this.#runSteps += count;
    let final, ahead = LogProbs.blanks(0, symbols);
    if (samples.soundEnd <= begins - RESTART_SECONDS * rate) {
      final = await this.#endSound(symbols);
      final = LogProbs.join([final, LogProbs.blanks(this.#runSteps - this.#nextStep - final.steps, symbols)]);
    } else {
      final = await this.#step(block, isLast);
      // For the steps after it, as if the stream ended here.
      if (!isLast) ahead = this.recogniser.layer((await this.recogniser.network.step(this.none, this.#state, true)).logProbs);
    }
    const output = { firstStep: this.#nextStep, logProbs: LogProbs.join([final, ahead]), final: final.steps };
    this.#nextStep += final.steps;
    return output;
  }

  async #step(frames, isLast) {
    const { logProbs, state } = await this.recogniser.network.step(frames, this.#state, isLast);
    this.#state = state;
    return this.recogniser.layer(logProbs);
  }

  // The output for the last steps of the sound; the next sound begins with a new state.
  async #endSound(symbols) {
    if (!this.#state) return LogProbs.blanks(0, symbols);
    const final = await this.#step(this.none, true);
    this.#state = null;
    return final;
  }
}

// Decodes the steps of a segment as they come: the final ones once, the provisional ones in a copy of the search.
class SegmentSearch {
  constructor(recogniser, firstStep) {
    Object.assign(this, { recogniser, firstStep, finalEnd: firstStep, final: [], provisional: null, lastSymbol: -1 });
    this.stream = recogniser.decoder.stream(BEAM_WIDTH);
    this.ahead = this.stream;
    this.best = { characters: [], text: "", steps: [] };
  }

  add({ firstStep, logProbs, final: count }) {
    const skipped = Math.max(0, this.firstStep - firstStep);
    const final = logProbs.slice(skipped, count);
    this.provisional = logProbs.slice(Math.max(skipped, count));
    if (final.steps) {
      this.stream.advance(final);
      this.final.push(final);
      this.finalEnd += final.steps;
    }
    this.ahead = this.stream.copy();
    this.ahead.advance(this.provisional);
    [this.best, this.lastSymbol] = [this.ahead.best(), this.ahead.lastStep];
  }

  get endStep() {
    return this.finalEnd + (this.provisional?.steps ?? 0);
  }

  get logProbs() {
    return LogProbs.join(this.provisional ? [...this.final, this.provisional] : this.final);
  }

  finish() {
    const found = this.ahead.finish();
    return { text: this.recogniser.alphabet.join([found.text]), words: this.recogniser.words(this.firstStep, this.logProbs, found) };
  }

  // The search for a segment that begins at a later step, with what is known from there on.
  after(step) {
    const search = new SegmentSearch(this.recogniser, step);
    search.add({ firstStep: step, logProbs: this.logProbs.slice(step - this.firstStep), final: Math.max(0, this.finalEnd - step) });
    return search;
  }
}

// The words of a segment that are shown: a word is shown, replaced or withdrawn when two results in a row agree.
class PartialText {
  words = [];
  #last = [];
  #wasLacking = false;

  update(now, isGrowing, settled) {
    const agreed = Math.max(shared(this.#last, now), settled), kept = shared(this.words, now);
    const isLacking = kept < this.words.length && !(isGrowing && kept === now.length && kept === this.words.length - 1);
    if (kept === this.words.length) this.words = now.slice(0, Math.max(agreed, kept));
    else if (kept < settled || (isLacking && this.#wasLacking)) this.words = now.slice(0, agreed);
    [this.#last, this.#wasLacking] = [now, isLacking];
  }
}

function shared(one, other) {
  let count = 0;
  while (count < one.length && count < other.length && one[count] === other[count]) count++;
  return count;
}

export class Session {
  // `emit` gets the events.
  constructor(recogniser, emit) {
    Object.assign(this, { recogniser, emit });
    const { stepSeconds, stepSamples, card } = recogniser;
    this.stepSeconds = stepSeconds;
    this.interval = this.steps(INTERVAL_SECONDS) * stepSamples;
    this.samples = new SampleBuffer();
    this.window = card.carries_state ? new CarriedState(recogniser) : new SlidingWindow(recogniser);
    this.hasSecondPass = !card.carries_state;
    this.search = new SegmentSearch(recogniser, 0);
    this.processed = 0;
    this.startSegment();
  }

  startSegment() {
    Object.assign(this, { partial: new PartialText(), shownText: "", shownSettled: 0, start: null });
  }

  steps(seconds) {
    return Math.max(1, roundHalfEven(seconds / this.recogniser.stepSeconds));
  }

  push(samples) {
    this.samples.push(samples);
  }

  // Whether there is enough for the network to run again.
  get isReady() {
    return this.samples.end - this.processed >= this.interval;
  }

  // Recognise what has come. A machine that is too slow for every interval takes several at once.
  async advance(isLast = false) {
    const { search } = this;
    this.processed = this.samples.end;
    search.add(await this.window.run(this.samples, isLast));
    const spans = this.recogniser.alphabet.words(search.best.characters);
    if (spans.length) await this.showWords(spans, isLast);
    else {
      this.withdraw();
      if (search.finalEnd - search.firstStep > this.steps(EMPTY_SECONDS)) this.search = search.after(search.finalEnd - this.steps(KEPT_SECONDS));
    }
    this.samples.dropBefore(Math.min(this.window.firstSample, this.search.firstStep * this.recogniser.stepSamples));
  }

  async showWords(spans, isLast) {
    const { search, stepSeconds } = this, { characters, steps } = search.best;
    const first = search.firstStep + steps[spans[0][0]], end = search.firstStep + steps[spans.at(-1)[1] - 1] + 1;
    const lastSymbol = search.firstStep + search.lastSymbol;
    const silence = (search.endStep - lastSymbol - 1) * stepSeconds;
    const words = spans.map(([start, stop]) => characters.slice(start, stop).join(""));
    const isGrowing = silence < COMPLETE_SECONDS && !isLast;
    // An unfinished word over phones is not in the text.
    this.show(isGrowing && lastSymbol < end ? words.slice(0, -1) : words, isGrowing, first * stepSeconds);
    const length = (lastSymbol + 1 - first) * stepSeconds;
    if (isLast || this.ends(search.best.text.trim(), silence, length)) await this.endSegment(first, lastSymbol + 1, isLast);
  }

  show(words, isGrowing, start) {
    const { alphabet, decoder } = this.recogniser;
    let settled = 0;
    if (!this.hasSecondPass) {
      const text = this.search.stream.settled;
      const isComplete = decoder.overWords || !alphabet.separator || text.at(-1) === alphabet.separator;
      settled = Math.max(0, alphabet.words(text).length - (isComplete ? 0 : 1));
    }
    this.partial.update(words, isGrowing, settled);
    const text = alphabet.join(this.partial.words), count = [...alphabet.join(this.partial.words.slice(0, settled))].length;
    if (text === this.shownText && count === this.shownSettled) return;
    this.start ??= milliseconds(start);
    [this.shownText, this.shownSettled] = [text, count];
    this.emit({ type: "partial", text, settled: count, start: this.start });
  }

  // The segment's words have all turned out to be none.
  withdraw() {
    if (this.start !== null) this.emit({ type: "partial", text: "", settled: 0, start: this.start });
    this.startSegment();
  }

  // The rules of asr/recognition/endpointing.py.
  ends(text, silence, length) {
    if (silence >= SILENCE_SECONDS) return true;
    if (silence >= SENTENCE_END_SECONDS && (this.recogniser.decoder.languageScores(text)?.at(-1) ?? -Infinity) >= SENTENCE_END_LOG_PROB) return true;
    const tooLong = length - LONGEST_SECONDS;
    return tooLong >= 0 && silence >= SHORT_PAUSE_SECONDS * (1 - tooLong / PATIENCE_SECONDS);
  }

  async endSegment(first, end, isLast) {
    const { search, stepSeconds, recogniser } = this, { stepSamples } = recogniser;
    const cut = isLast ? search.endStep : this.quietest(end, search.endStep);
    const begin = Math.max(search.firstStep, first - this.steps(LEAD_SECONDS));
    let { text, words } = this.hasSecondPass ? { text: "", words: [] } : search.finish();
    if (this.hasSecondPass) {
      const recording = recogniser.recording(), offset = begin * stepSeconds;
      for await (const one of recording.push(this.samples.slice(begin * stepSamples, cut * stepSamples))) void one;
      ({ text, words } = await recording.finish());
      words = words.map((word) => ({ ...word, start: milliseconds(word.start + offset), end: milliseconds(word.end + offset) }));
    }
    if (!text) this.withdraw();
    else {
      const finish = Math.min(cut * stepSeconds, this.samples.end / recogniser.rate);
      this.emit({
        type: "final", text, start: milliseconds(begin * stepSeconds), end: milliseconds(finish),
        words: words.map(({ word, ...rest }) => ({ text: word, ...rest })),
      });
      this.startSegment();
    }
    this.search = search.after(cut);
  }

  // The step between two others at which the samples are quietest.
  quietest(first, end) {
    const { stepSamples } = this.recogniser, samples = this.samples.slice(first * stepSamples, end * stepSamples);
    const energy = new Float64Array(Math.floor(samples.length / stepSamples));
    for (let place = 0; place < energy.length * stepSamples; place++) energy[Math.floor(place / stepSamples)] += samples[place] ** 2;
    const width = Math.min(energy.length, this.steps(QUIET_SECONDS));
    return first + bestSum(energy, width, -1)[0] + Math.floor(width / 2);
  }
}
