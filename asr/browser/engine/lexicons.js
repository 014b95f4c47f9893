// The words that a decoder knows as trees of symbols or phones, as in asr/language/lexicon.py and
// asr/decoding/pronunciation_lexicon.py, with the numbers of nodes that they have there.

import { logaddexp } from "./logarithms.js";
import { NOT_FOUND, ROOT, Trie, UNKNOWN, unpackTrie } from "./ngram.js";

const LEAST = 1e-300;

// The look-ahead score of each node: the summed probability of all words below it, weighted.
function lookAhead(weights, model, { weight, unknownScore, isOpen }) {
  const scores = new Float64Array(weights.length);
  if (!model) return { scores, unknown: 0 };
  const unknown = model.unknownLogProb + unknownScore;
  for (let node = 0; node < weights.length; node++) {
    const total = logaddexp(Math.log(Math.max(weights[node], LEAST)), isOpen ? unknown : -Infinity);
    scores[node] = weight * Math.min(total, 0);
  }
  scores[ROOT] = 0;
  return { scores, unknown: weight * unknown };
}

// Words as paths of the characters of an alphabet.
export class WordLexicon {
  constructor(words, model, symbols, settings) {
    this.settings = settings;
    const numbers = new Map([...symbols].map((symbol, place) => [symbol, place + 1]));
    const spelled = [];
    words.forEach((word, place) => {
      const path = Array.from(word, (one) => numbers.get(one) ?? 0);
      if (path.length && !path.includes(0)) spelled.push({ place, path });
    });
    spelled.sort((one, other) => comparePaths(one.path, other.path));
    // Level by level, each node a run of words that begin alike: [first, end) in the sorted list.
    const labels = [0], first = [1], words_ = [NOT_FOUND];
    let level = [[0, spelled.length]];
    for (let depth = 0; level.length; depth++) {
      const next = [];
      for (const [begin, end] of level) {
        let start = begin;
        while (start < end && spelled[start].path.length === depth) start++; // the word that ends here
        while (start < end) {
          const label = spelled[start].path[depth];
          let stop = start;
          while (stop < end && spelled[stop].path[depth] === label) stop++;
          next.push([start, stop]);
          labels.push(label);
          words_.push(spelled[start].path.length === depth + 1 ? spelled[start].place : NOT_FOUND);
          start = stop;
        }
        first.push(labels.length);
      }
      level = next;
    }
    this.trie = new Trie(Uint16Array.from(labels), Uint32Array.from(first));
    this.word = Int32Array.from(words_);
    const own = Float64Array.from(this.word, (word) => (word === NOT_FOUND || !model ? 0 : Math.exp(model.logProbs[0].at(word))));
    const { scores, unknown } = lookAhead(summedUp(this.trie, own), model, settings);
    [this.partial, this.partialUnknown] = [scores, unknown];
  }

  follow(node, symbol) {
    return node === NOT_FOUND ? NOT_FOUND : this.trie.find(node, symbol);
  }
}

// Words as paths of phones or pieces; several may end at one node. The place of a word among them is its reading.
export class PathLexicon {
  // `spellings` follow the words of the language model: `words` are places in both.
  constructor({ initial, most_readings: mostReadings }, arrays, model, settings) {
    this.settings = settings;
    this.initial = Uint8Array.from(initial);
    this.mostReadings = mostReadings;
    this.trie = unpackTrie({ low: arrays.label_low, high: arrays.label_high, counts: arrays.counts, largeCounts: arrays.large_counts });
    const nodes = this.trie.labels.length;
    this.first = new Uint32Array(nodes + 1);
    for (let node = 0; node < nodes; node++) this.first[node + 1] = this.first[node] + arrays.endings[node];
    this.words = arrays.words;
    const fromModel = model ? model.words : [];
    const others = new TextDecoder().decode(arrays.spellings);
    this.spellings = others ? [...fromModel, ...others.split("\n")] : fromModel;
    this.known = fromModel.length;
    const own = new Float64Array(nodes);
    for (let node = 0; node < nodes; node++) {
      for (let place = this.first[node]; place < this.first[node + 1]; place++) {
        own[node] += model ? Math.exp(model.logProbs[0].at(this.number(this.words[place]))) : 0;
      }
    }
    const { scores, unknown } = lookAhead(summedUp(this.trie, own), model, settings);
    [this.partial, this.partialUnknown] = [scores, unknown];
  }

  // The language model's number of a word.
  number(word) {
    return word < this.known ? word : UNKNOWN;
  }

  follow(node, symbol) {
    return this.trie.find(node, symbol);
  }

  // How many words end at a node.
  count(node) {
    return node === NOT_FOUND ? 0 : this.first[node + 1] - this.first[node];
  }

  word(node, reading) {
    return this.words[this.first[node] + reading];
  }
}

// Of each node the sum over itself and all nodes below.
function summedUp({ first, inner }, own) {
  const sums = own.slice();
  for (let node = inner - 1; node >= 0; node--) {
    for (let child = first[node]; child < first[node + 1]; child++) sums[node] += sums[child];
  }
  return sums;
}

function comparePaths(one, other) {
  const shorter = Math.min(one.length, other.length);
  for (let place = 0; place < shorter; place++) if (one[place] !== other[place]) return one[place] - other[place];
  return one.length - other.length;
}
