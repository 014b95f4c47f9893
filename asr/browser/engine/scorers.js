// What language models add to the scores of growing hypotheses: asr/decoding/context.py and pronunciation_scorer.py,
// for the hypotheses of one recording. Scorers keep their states in arrays with a place for each hypothesis.

import { mix, mixHash, mixed, mixRow } from "./hashes.js";
import { IMPOSSIBLE } from "./logarithms.js";
import { END, NOT_FOUND, ROOT, UNKNOWN } from "./ngram.js";

// Arrays of states, to be copied for some hypotheses at once. `spec` has of each field its type and its width.
class States {
  constructor(count, spec) {
    this.count = count;
    this.spec = spec;
    for (const [name, Type, width] of spec) this[name] = new Type(count * width);
  }

  take(slots) {
    const taken = new States(slots.length, this.spec);
    for (const [name, , width] of this.spec) {
      const [from, to] = [this[name], taken[name]];
      if (width === 1) for (let place = 0; place < slots.length; place++) to[place] = from[slots[place]];
      else for (let place = 0; place < slots.length; place++) for (let column = 0; column < width; column++) to[place * width + column] = from[slots[place] * width + column];
    }
    return taken;
  }
}

// Scores words of a lexicon of characters, ended by spaces.
export class WordScorer {
  constructor(lexicon, model, { weight, bonus, unknownScore, isOpen, space }) {
    Object.assign(this, { lexicon, model, weight, bonus, unknownScore, isOpen, space });
    this.width = model ? model.width : 0;
    this.forgets = true;
    this.after = new Int32Array(Math.max(this.width, 1));
  }

  begin() {
    const { width } = this;
    const states = new States(1, [
      ["node", Int32Array, 1], ["partial", Float64Array, 1], ["gain", Float64Array, 1], ["ngram", Int32Array, width],
      ["after", Int32Array, width], ["high", Uint32Array, 1], ["low", Uint32Array, 1],
    ]);
    states.node[0] = ROOT;
    states.gain[0] = NaN;
    this.model?.begin(states.ngram, 0);
    return states;
  }

  readings() {
    return 1;
  }

  // The gain of each candidate: the hypothesis `sources[i]` is extended by `symbols[i]`.
  extend(states, sources, symbols, gains) {
    const count = sources.length;
    const extension = { node: new Int32Array(count), partial: new Float64Array(count), ended: new Uint8Array(count) };
    for (let place = 0; place < count; place++) {
      const slot = sources[place], symbol = symbols[place];
      if (symbol === this.space) {
        this.endWord(states, slot);
        gains[place] += states.gain[slot];
        extension.node[place] = ROOT;
        extension.ended[place] = 1;
        continue;
      }
      const node = this.lexicon.follow(states.node[slot], symbol);
      const partial = node === NOT_FOUND ? this.lexicon.partialUnknown : this.lexicon.partial[node];
      gains[place] += node === NOT_FOUND && !this.isOpen ? IMPOSSIBLE : partial - states.partial[slot];
      extension.node[place] = node;
      extension.partial[place] = partial;
    }
    return extension;
  }

  // Computes the score for ending the word of a hypothesis, where it is not known yet.
  endWord(states, slot) {
    if (!Number.isNaN(states.gain[slot])) return;
    const node = states.node[slot], word = node === NOT_FOUND ? NOT_FOUND : this.lexicon.word[node];
    let gain = this.bonus;
    if (this.model) {
      const number = word === NOT_FOUND ? UNKNOWN : word;
      const score = this.model.score(states.ngram, slot * this.width, number, states.after, slot * this.width);
      gain += this.weight * (score + (word === NOT_FOUND ? this.unknownScore : 0)) - states.partial[slot];
    }
    if ((!this.isOpen && word === NOT_FOUND) || node === ROOT) gain = IMPOSSIBLE;
    states.gain[slot] = gain;
  }

  // Adds to the hashes of the future of those that stay, and of those that grow.
  staying(states, slot, high, low) {
    mix(states.high[slot], states.low[slot], states.node[slot]);
    mixHash(high, low, mixed.high, mixed.low);
  }

  growing(states, extension, place, slot, high, low) {
    if (extension.ended[place]) mixRow(states.after, slot * this.width, this.width);
    else [mixed.high, mixed.low] = [states.high[slot], states.low[slot]];
    mix(mixed.high, mixed.low, extension.node[place]);
    mixHash(high, low, mixed.high, mixed.low);
  }

  select(states, extension, sources, candidates) {
    const kept = states.take(sources), { width } = this;
    for (let place = 0; place < sources.length; place++) {
      const candidate = candidates[place];
      if (candidate === NOT_FOUND) continue;
      kept.node[place] = extension.node[candidate];
      kept.partial[place] = extension.partial[candidate];
      kept.gain[place] = NaN;
      if (!extension.ended[candidate]) continue;
      for (let column = 0; column < width; column++) kept.ngram[place * width + column] = kept.after[place * width + column];
      mixRow(kept.ngram, place * width, width);
      [kept.high[place], kept.low[place]] = [mixed.high, mixed.low];
    }
    return kept;
  }

  // The ways in which a hypothesis can end here: [reading, gain].
  *endings(states, slot) {
    const isInWord = states.node[slot] !== ROOT;
    if (isInWord) this.endWord(states, slot);
    let gain = isInWord ? states.gain[slot] : 0;
    if (this.model) gain += this.weight * this.model.score(isInWord ? states.after : states.ngram, slot * this.width, END, this.after, 0);
    yield [0, gain];
  }
}

// Scores words that are decoded as phones or pieces: a word ends where the next word-initial symbol begins.
export class PathScorer {
  constructor(lexicon, model, { weight, bonus, unknownScore, isOpen }) {
    Object.assign(this, { lexicon, model, weight, bonus, unknownScore, isOpen });
    this.width = model ? model.width : 0;
    this.forgets = true;
    this.after = new Int32Array(Math.max(this.width, 1));
    this.scratch = new Int32Array(Math.max(this.width, 1));
  }

  begin() {
    const { width } = this;
    const states = new States(1, [
      ["node", Int32Array, 1], ["partial", Float64Array, 1], ["ngram", Int32Array, width],
      ["high", Uint32Array, 1], ["low", Uint32Array, 1],
    ]);
    states.node[0] = ROOT;
    this.model?.begin(states.ngram, 0);
    return states;
  }

  // The number of readings of a candidate: of the words that end before a word-initial symbol, else 1.
  readings(states, slot, symbol) {
    const node = states.node[slot];
    if (!this.lexicon.initial[symbol] || node === ROOT) return 1;
    return Math.max(this.lexicon.count(node), this.isOpen ? 1 : 0);
  }

  extend(states, sources, symbols, gains, readings) {
    const count = sources.length, { lexicon, width } = this;
    const extension = { node: new Int32Array(count), partial: new Float64Array(count), ending: new Int32Array(count).fill(NOT_FOUND), endings: [] };
    // The endings of a hypothesis are the same before every symbol. Candidates come hypothesis by hypothesis.
    let last = NOT_FOUND, known = [];
    for (let place = 0; place < count; place++) {
      const slot = sources[place], symbol = symbols[place], before = states.node[slot];
      const isInitial = lexicon.initial[symbol] === 1;
      const start = isInitial ? ROOT : before;
      const node = start === NOT_FOUND ? NOT_FOUND : lexicon.follow(start, symbol);
      const partial = node === NOT_FOUND ? lexicon.partialUnknown : lexicon.partial[node];
      let gain = partial - states.partial[slot];
      extension.node[place] = node;
      extension.partial[place] = partial;
      if (isInitial && before !== ROOT) {
        if (slot !== last) [last, known] = [slot, []];
        const reading = readings[place];
        let ending = known[reading];
        if (ending === undefined) {
          const after = new Int32Array(width);
          const wordGain = this.endWord(states, slot, reading, after);
          mixRow(after, 0, width);
          mix(mixed.high, mixed.low, 0); // the state of hot words, of which there are none
          ending = known[reading] = extension.endings.length;
          extension.endings.push({ gain: wordGain, after, high: mixed.high, low: mixed.low });
        }
        gain += extension.endings[ending].gain;
        extension.ending[place] = ending;
      }
      gains[place] += node === NOT_FOUND && !this.isOpen ? IMPOSSIBLE : gain;
    }
    return extension;
  }

  // The score for ending the word of a hypothesis in one reading, without its look-ahead score.
  endWord(states, slot, reading, after) {
    const { lexicon, model, width } = this, node = states.node[slot];
    if (!model) return this.bonus;
    const isKnown = lexicon.count(node) > 0;
    const number = isKnown ? lexicon.number(lexicon.word(node, reading)) : UNKNOWN;
    const score = model.score(states.ngram, slot * width, number, after, 0);
    return this.bonus + this.weight * (score + (isKnown ? 0 : this.unknownScore));
  }

  staying(states, slot, high, low) {
    mix(states.high[slot], states.low[slot], states.node[slot]);
    mixHash(high, low, mixed.high, mixed.low);
  }

  growing(states, extension, place, slot, high, low) {
    const ending = extension.ending[place];
    const from = ending === NOT_FOUND ? null : extension.endings[ending];
    mix(from ? from.high : states.high[slot], from ? from.low : states.low[slot], extension.node[place]);
    mixHash(high, low, mixed.high, mixed.low);
  }

  select(states, extension, sources, candidates) {
    const kept = states.take(sources), { width } = this;
    for (let place = 0; place < sources.length; place++) {
      const candidate = candidates[place];
      if (candidate === NOT_FOUND) continue;
      kept.node[place] = extension.node[candidate];
      kept.partial[place] = extension.partial[candidate];
      const ending = extension.ending[candidate];
      if (ending === NOT_FOUND) continue;
      const { after, high, low } = extension.endings[ending];
      kept.ngram.set(after, place * width);
      [kept.high[place], kept.low[place]] = [high, low];
    }
    return kept;
  }

  // The readings with which a hypothesis can end here, with what each gains; NOT_FOUND for a word that is cut off.
  *endings(states, slot) {
    const node = states.node[slot], { model, width } = this;
    const words = node === ROOT ? 0 : Math.max(this.lexicon.count(node), this.isOpen ? 1 : 0);
    for (let reading = 0; reading < Math.max(words, 1); reading++) {
      let gain = 0, ngram = states.ngram, start = slot * width, isCutOff = false;
      if (words) {
        gain = this.endWord(states, slot, reading, this.after);
        if (model) [ngram, start] = [this.after, 0];
      } else if (node !== ROOT) {
        isCutOff = true;
        gain = this.weight * ((model ? model.unknownLogProb : 0) + this.unknownScore);
      }
      const end = model ? this.weight * model.score(ngram, start, END, this.scratch, 0) : 0;
      yield [isCutOff ? NOT_FOUND : reading, gain + end - states.partial[slot]];
    }
  }
}

// Scores symbols by a language model over characters; `numbers` are the model's numbers of the symbols.
export class CharacterScorer {
  constructor(numbers, model, { weight, bonus }) {
    Object.assign(this, { numbers, model, weight, bonus });
    this.width = model.width;
    this.forgets = true;
    this.after = new Int32Array(Math.max(this.width, 1));
  }

  begin() {
    const states = new States(1, [["ngram", Int32Array, this.width]]);
    this.model.begin(states.ngram, 0);
    return states;
  }

  readings() {
    return 1;
  }

  extend(states, sources, symbols, gains) {
    const { width } = this, after = new Int32Array(sources.length * width);
    for (let place = 0; place < sources.length; place++) {
      const score = this.model.score(states.ngram, sources[place] * width, this.numbers[symbols[place]], after, place * width);
      gains[place] += this.weight * score + this.bonus;
    }
    return { after };
  }

  staying(states, slot, high, low) {
    mixRow(states.ngram, slot * this.width, this.width);
    mixHash(high, low, mixed.high, mixed.low);
  }

  growing(states, { after }, place, slot, high, low) {
    mixRow(after, place * this.width, this.width);
    mixHash(high, low, mixed.high, mixed.low);
  }

  select(states, { after }, sources, candidates) {
    const kept = states.take(sources), { width } = this;
    for (let place = 0; place < sources.length; place++) {
      if (candidates[place] !== NOT_FOUND) kept.ngram.set(after.subarray(candidates[place] * width, (candidates[place] + 1) * width), place * width);
    }
    return kept;
  }

  *endings(states, slot) {
    yield [0, this.weight * this.model.score(states.ngram, slot * this.width, END, this.after, 0)];
  }
}
