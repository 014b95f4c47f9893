// Prefix beam search over one recording: the same search as asr/decoding/beam.py, hypothesis by hypothesis, with the
// same order of equal scores and the same hashes, so that the texts are the same. Read asr/decoding/reference.py first.

import { mix, mixed } from "./hashes.js";
import { IMPOSSIBLE, logaddexp } from "./logarithms.js";
import { NOT_FOUND } from "./ngram.js";

const BLANK = 0;
// What a candidate may gain from the scorers: further behind than this, and the margin, they are not asked.
const HEADROOM = 10;
// A symbol and a reading as one number, as texts keep them.
const SYMBOLS = 1 << 24;
export const withoutReading = (number) => [number % SYMBOLS, Math.floor(number / SYMBOLS)];

// A text as its last symbol and the text before it: what no hypothesis needs is collected by the language.
class Node {
  constructor(parent, number, step, logProb) {
    [this.parent, this.number, this.step, this.logProb] = [parent, number, step, logProb];
    this.depth = parent ? parent.depth + 1 : 1;
  }
}

// The symbols of a text in order.
export function trace(node) {
  const path = [];
  for (; node; node = node.parent) path.push(node);
  return path.reverse();
}

// The hypotheses of a recording, best first.
class Beam {
  constructor(count) {
    this.count = count;
    this.blank = new Float64Array(count); // natural log-probability of the alignments that end in a blank
    this.symbol = new Float64Array(count); // of those that end in the last symbol
    this.context = new Float64Array(count); // what the scorers have given
    this.last = new Int32Array(count);
    this.reading = new Int32Array(count);
    this.high = new Uint32Array(count); // tells texts apart
    this.low = new Uint32Array(count);
    this.parentHigh = new Uint32Array(count);
    this.parentLow = new Uint32Array(count);
    this.parent = new Int32Array(count); // place of the text without its last symbol
    this.node = new Array(count).fill(null);
    this.states = [];
  }
}

export class BeamSearch {
  constructor({ beam_width: width, min_symbol_log_prob: least, score_margin: margin }, scorers) {
    this.width = width;
    this.least = least ?? IMPOSSIBLE;
    this.margin = margin ?? Infinity;
    this.scorers = scorers;
    this.reader = scorers.findIndex((one) => one.lexicon?.initial);
    this.merges = scorers.some((one) => one.forgets);
    this.step = 0;
    this.beam = new Beam(1);
    this.beam.symbol[0] = IMPOSSIBLE;
    this.beam.parent[0] = NOT_FOUND;
    mix(0, 0, 0);
    [this.beam.high[0], this.beam.low[0]] = [mixed.high, mixed.low];
    this.beam.states = scorers.map((one) => one.begin());
  }

  // An independent search in the same state; beams are never changed but by `hold` and scorers that remember.
  copy() {
    const copied = Object.assign(Object.create(BeamSearch.prototype), this);
    const all = Int32Array.from({ length: this.beam.count }, (_, place) => place);
    copied.beam = Object.assign(new Beam(0), this.beam, {
      blank: this.beam.blank.slice(), symbol: this.beam.symbol.slice(), states: this.beam.states.map((one) => one.take(all)),
    });
    return copied;
  }

  // Search through the next steps.
  advance({ steps, symbols, values }) {
    let blanks = 0, hasBlanks = false;
    const now = new Float64Array(symbols), tried = [];
    for (let step = 0; step < steps; step++, this.step++) {
      tried.length = 0;
      for (let symbol = 1, place = step * symbols + 1; symbol < symbols; symbol++, place++) {
        const isTried = values[place] >= this.least;
        if (isTried) tried.push(symbol);
        now[symbol] = isTried ? Math.max(values[place], IMPOSSIBLE) : IMPOSSIBLE;
      }
      now[BLANK] = Math.max(values[step * symbols], IMPOSSIBLE);
      if (!tried.length) { // steps without a symbol are taken together
        blanks += now[BLANK];
        hasBlanks = true;
        continue;
      }
      if (hasBlanks) this.hold(blanks);
      [blanks, hasBlanks] = [0, false];
      this.advanceStep(now, tried);
    }
    if (hasBlanks) this.hold(blanks);
  }

  // Extend hypotheses by blanks alone.
  hold(blanks) {
    const { count, blank, symbol } = this.beam;
    for (let slot = 0; slot < count; slot++) {
      blank[slot] = logaddexp(blank[slot], symbol[slot]) + blanks;
      symbol[slot] = IMPOSSIBLE;
    }
  }

  // One step: every hypothesis stays and grows, equal texts are added up, and the best are chosen.
  advanceStep(now, tried) {
    const { beam } = this, { count } = beam;
    const total = new Float64Array(count);
    const staying = { blank: new Float64Array(count), symbol: new Float64Array(count), node: beam.node.slice(), score: new Float64Array(count) };
    for (let slot = 0; slot < count; slot++) {
      total[slot] = logaddexp(beam.blank[slot], beam.symbol[slot]);
      staying.blank[slot] = total[slot] + now[BLANK];
      staying.symbol[slot] = beam.symbol[slot] + now[beam.last[slot]];
    }
    const grown = this.grow(total, now, tried);
    this.addUp(staying, grown, now, tried);
    let best = -Infinity;
    for (let slot = 0; slot < count; slot++) {
      staying.score[slot] = logaddexp(staying.blank[slot], staying.symbol[slot]) + beam.context[slot];
      best = Math.max(best, staying.score[slot]);
    }
    const growing = this.score(grown, best);
    this.keep(staying, growing, this.choose(staying, growing, best), now);
  }

  // Every hypothesis extended by every symbol that is tried, in each of its readings, in the order of all three.
  grow(total, now, tried) {
    const { beam } = this, { count } = beam, reader = this.scorers[this.reader];
    const source = [], symbol = [], reading = [], logProb = [];
    const first = new Int32Array(count * tried.length); // candidate of each hypothesis and symbol
    for (let slot = 0; slot < count; slot++) {
      for (let place = 0; place < tried.length; place++) {
        const one = tried[place];
        first[slot * tried.length + place] = source.length;
        const ways = reader ? reader.readings(beam.states[this.reader], slot, one) : 1;
        // A symbol that is said twice needs a blank between.
        const before = one === beam.last[slot] ? beam.blank[slot] : total[slot];
        for (let way = 0; way < ways; way++) {
          source.push(slot);
          symbol.push(one);
          reading.push(way);
          logProb.push(before + now[one]);
        }
      }
    }
    return { source, symbol, reading, logProb, first };
  }

  // Add a candidate whose text is in the beam already to the hypothesis of that text.
  addUp(staying, { logProb, first }, now, tried) {
    const { beam } = this, places = new Map(tried.map((symbol, place) => [symbol, place]));
    for (let slot = 0; slot < beam.count; slot++) {
      const parent = beam.parent[slot], last = beam.last[slot], place = places.get(last);
      if (parent === NOT_FOUND || place === undefined) continue;
      const same = first[parent * tried.length + place] + beam.reading[slot], arriving = logProb[same];
      // Where more arrives than was there, this is the likelier way to the text, and its last symbol is at this step.
      if (arriving > logaddexp(staying.blank[slot], staying.symbol[slot])) {
        staying.node[slot] = new Node(beam.node[parent], last + beam.reading[slot] * SYMBOLS, this.step, now[last]);
      }
      staying.symbol[slot] = logaddexp(staying.symbol[slot], arriving);
      logProb[same] = IMPOSSIBLE;
    }
  }

  // The candidates that come near the best, with what the scorers give them.
  score({ source, symbol, reading, logProb }, best) {
    const { beam } = this, floor = Math.max(best - this.margin - HEADROOM, IMPOSSIBLE / 10);
    const near = [];
    for (let place = 0; place < source.length; place++) if (logProb[place] + beam.context[source[place]] > floor) near.push(place);
    const growing = {
      source: Int32Array.from(near, (place) => source[place]), symbol: Int32Array.from(near, (place) => symbol[place]),
      reading: Int32Array.from(near, (place) => reading[place]), logProb: Float64Array.from(near, (place) => logProb[place]),
    };
    growing.context = Float64Array.from(growing.source, (slot) => beam.context[slot]);
    growing.extensions = this.scorers.map((scorer, place) => scorer.extend(beam.states[place], growing.source, growing.symbol, growing.context, growing.reading));
    return growing;
  }

  // The places of the best hypotheses: first those that stay, then those that grow.
  choose(staying, growing, best) {
    const { beam, width, margin } = this, { count } = beam;
    const places = [], scores = [], behind = [];
    const add = (place, score) => {
      places.push(place);
      scores.push(score);
      behind.push(Math.fround(best - score)); // scores that are equal in seven digits keep the order of their places
    };
    for (let slot = 0; slot < count; slot++) add(slot, staying.score[slot]);
    for (let place = 0; place < growing.source.length; place++) {
      const score = growing.logProb[place] + growing.context[place];
      if (score >= best - margin) add(count + place, score);
    }
    let order = Uint32Array.from(places, (_, place) => place).sort((one, other) => behind[one] - behind[other] || one - other);
    if (this.merges) order = this.distinct(order, places, growing);
    const floor = Math.max(scores[order[0]] - margin, IMPOSSIBLE / 10);
    const chosen = [places[order[0]]];
    for (let rank = 1; rank < Math.min(order.length, width); rank++) if (scores[order[rank]] >= floor) chosen.push(places[order[rank]]);
    return chosen;
  }

  // Of hypotheses with the same future the best one: a table of as many places as Python's misses the same few.
  distinct(order, places, growing) {
    const { beam } = this, { count } = beam, bits = 32 - Math.clz32(32 * this.width);
    const table = new Int32Array(1 << bits).fill(NOT_FOUND), highs = new Uint32Array(order.length), lows = new Uint32Array(order.length);
    return order.filter((place, rank) => {
      const slot = places[place], candidate = slot - count, stays = slot < count;
      [mixed.high, mixed.low] = [0, stays ? beam.last[slot] : growing.symbol[candidate]];
      this.scorers.forEach((scorer, number) => {
        const states = beam.states[number];
        if (stays) scorer.staying(states, slot, mixed.high, mixed.low);
        else scorer.growing(states, growing.extensions[number], candidate, growing.source[candidate], mixed.high, mixed.low);
      });
      [highs[rank], lows[rank]] = [mixed.high, mixed.low];
      const at = mixed.high >>> (32 - bits), first = table[at];
      if (first === NOT_FOUND) {
        table[at] = rank;
        return true;
      }
      return highs[first] !== mixed.high || lows[first] !== mixed.low;
    });
  }

  // Make the chosen hypotheses the beam.
  keep(staying, growing, chosen, now) {
    const old = this.beam, { count } = old, beam = new Beam(chosen.length);
    const sources = new Int32Array(chosen.length), candidates = new Int32Array(chosen.length).fill(NOT_FOUND);
    const keptAt = new Int32Array(count).fill(NOT_FOUND); // where each old hypothesis is now
    chosen.forEach((one, slot) => {
      if (one < count) {
        sources[slot] = one;
        keptAt[one] = slot;
      } else {
        candidates[slot] = one - count;
        sources[slot] = growing.source[one - count];
      }
    });
    const grownBy = new Map(); // new texts by their hashes
    for (let slot = 0; slot < chosen.length; slot++) {
      const from = sources[slot], candidate = candidates[slot];
      if (candidate === NOT_FOUND) {
        beam.blank[slot] = staying.blank[from];
        beam.symbol[slot] = staying.symbol[from];
        beam.context[slot] = old.context[from];
        beam.last[slot] = old.last[from];
        beam.reading[slot] = old.reading[from];
        beam.node[slot] = staying.node[from];
        beam.high[slot] = old.high[from];
        beam.low[slot] = old.low[from];
        beam.parentHigh[slot] = old.parentHigh[from];
        beam.parentLow[slot] = old.parentLow[from];
        beam.parent[slot] = old.parent[from] === NOT_FOUND ? NOT_FOUND : keptAt[old.parent[from]];
        continue;
      }
      const last = growing.symbol[candidate], number = last + growing.reading[candidate] * SYMBOLS;
      beam.blank[slot] = IMPOSSIBLE;
      beam.symbol[slot] = growing.logProb[candidate];
      beam.context[slot] = growing.context[candidate];
      beam.last[slot] = last;
      beam.reading[slot] = growing.reading[candidate];
      beam.node[slot] = new Node(old.node[from], number, this.step, now[last]);
      beam.parentHigh[slot] = old.high[from];
      beam.parentLow[slot] = old.low[from];
      mix(old.high[from], old.low[from], number);
      [beam.high[slot], beam.low[slot]] = [mixed.high, mixed.low];
      beam.parent[slot] = keptAt[from];
      grownBy.set(mixed.high * 4294967296 + mixed.low, slot);
    }
    // A text that had left the beam may have come back to a child that had not.
    for (let slot = 0; grownBy.size && slot < chosen.length; slot++) {
      if (beam.parent[slot] !== NOT_FOUND || beam.last[slot] === BLANK || candidates[slot] !== NOT_FOUND) continue;
      const found = grownBy.get(beam.parentHigh[slot] * 4294967296 + beam.parentLow[slot]);
      if (found !== undefined && beam.high[found] === beam.parentHigh[slot] && beam.low[found] === beam.parentLow[slot]) beam.parent[slot] = found;
    }
    beam.states = this.scorers.map((scorer, place) => scorer.select(old.states[place], growing.extensions[place], sources, candidates));
    this.beam = beam;
  }

  total(slot) {
    return logaddexp(this.beam.blank[slot], this.beam.symbol[slot]) + this.beam.context[slot];
  }

  // The best hypothesis if the recording goes on: its text, the best reading of its last word, and its score.
  leader() {
    let slot = 0;
    for (let other = 1; other < this.beam.count; other++) if (this.total(other) > this.total(slot)) slot = other;
    let reading = 0, highest = -Infinity;
    if (this.reader >= 0) {
      for (const [one, gain] of this.scorers[this.reader].endings(this.beam.states[this.reader], slot)) {
        if (gain > highest) [reading, highest] = [one, gain];
      }
    }
    return { node: this.beam.node[slot], reading, score: this.total(slot) };
  }

  // The texts if the recording ends here, best first: each with the reading of its last word, and its score.
  finish() {
    const found = [];
    for (let slot = 0; slot < this.beam.count; slot++) {
      const others = this.scorers.reduce((sum, scorer, place) => {
        if (place === this.reader) return sum;
        const [[, gain]] = scorer.endings(this.beam.states[place], slot);
        return sum + gain;
      }, 0);
      const ways = this.reader < 0 ? [[0, 0]] : this.scorers[this.reader].endings(this.beam.states[this.reader], slot);
      for (const [reading, gain] of ways) found.push({ node: this.beam.node[slot], reading, score: this.total(slot) + gain + others });
    }
    return found.sort((one, other) => other.score - one.score);
  }

  // The last symbol of what all hypotheses begin with.
  settled() {
    const nodes = new Set(this.beam.node);
    while (nodes.size > 1) {
      let deepest = null;
      for (const node of nodes) if (node && (!deepest || node.depth > deepest.depth)) deepest = node;
      nodes.delete(deepest);
      nodes.add(deepest.parent);
    }
    const [common] = nodes;
    return common;
  }
}
