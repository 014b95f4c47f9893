// A backoff n-gram model over words or characters, as asr/language/ngram.py: its arrays lie in memory as they are there.

export const UNKNOWN = 0, START = 1, END = 2;
export const NOT_FOUND = -1, ROOT = 0;

// The labels and the first children of a trie: nodes are numbered level by level from the root, the children of a node
// are neighbours with ascending labels.
export class Trie {
  constructor(labels, first) {
    [this.labels, this.first, this.inner] = [labels, first, first.length - 1];
  }

  // The child of a node along a label, or NOT_FOUND.
  find(node, label) {
    if (node < 0 || node >= this.inner) return NOT_FOUND;
    let low = this.first[node], high = this.first[node + 1] - 1;
    const { labels } = this;
    while (low <= high) {
      const middle = (low + high) >>> 1, found = labels[middle];
      if (found === label) return middle;
      if (found < label) low = middle + 1;
      else high = middle - 1;
    }
    return NOT_FOUND;
  }
}

// Labels of a trie from how they are stored: the distance of each from its left sibling, low and higher bytes apart,
// and the number of children of each node (255 and more follow in `largeCounts`).
export function unpackTrie({ low, high, counts, largeCounts = new Uint32Array(0) }) {
  const labels = new Uint32Array(low.length + 1);
  const first = new Uint32Array(counts.length + 1);
  first[0] = 1;
  let large = 0, child = 1;
  for (let node = 0; node < counts.length; node++) {
    const count = counts[node] < 255 ? counts[node] : largeCounts[large++];
    first[node + 1] = first[node] + count;
    for (let label = 0, end = child + count; child < end; child++) {
      label += low[child - 1] + 256 * high[child - 1];
      labels[child] = label;
    }
  }
  return new Trie(labels, first);
}

export class NgramModel {
  constructor({ unit, counts }, arrays) {
    this.unit = unit;
    this.counts = counts;
    this.order = counts.length;
    this.width = this.order - 1;
    this.words = new TextDecoder().decode(arrays.words).split("\n");
    this.trie = unpackTrie({
      low: arrays.label_low, high: joinPlanes(arrays.label_high, arrays.label_top), counts: arrays.counts, largeCounts: arrays.large_counts,
    });
    this.starts = [ROOT + 1];
    for (const count of counts) this.starts.push(this.starts.at(-1) + count);
    this.logProbs = counts.map((_, level) => numbers(arrays, `log_probs/${level + 1}`));
    this.backoffs = counts.slice(1).map((_, level) => numbers(arrays, `backoffs/${level + 1}`));
    this.unknownLogProb = this.logProbs[0].at(UNKNOWN);
    this.numbers = null;
  }

  // The state at the start of a sentence: the nodes of the last word, of the last two, and so on.
  begin(states, start) {
    states.fill(NOT_FOUND, start, start + this.width);
    if (this.width) states[start] = ROOT + 1 + START;
  }

  // The natural log-probability of a word after a state; the state after it is written to `after`.
  score(states, start, word, after, afterStart) {
    let found = ROOT + 1 + word, penalty = 0, logProb = this.logProbs[0].at(word);
    const { order, trie, starts } = this;
    if (order > 1) after[afterStart] = found;
    for (let level = 1; level < order; level++) {
      const context = states[start + level - 1];
      found = trie.find(context, word);
      if (level < order - 1) after[afterStart + level] = found;
      if (found !== NOT_FOUND) {
        logProb = this.logProbs[level].at(found - starts[level]);
        penalty = 0;
      } else if (context !== NOT_FOUND) penalty += this.backoffs[level - 1].at(context - starts[level - 1]);
    }
    return logProb + penalty;
  }

  number(word) {
    this.numbers ??= new Map(this.words.map((one, number) => [one, number]));
    return this.numbers.get(word) ?? UNKNOWN;
  }

  // Natural log-probabilities of the words of a sentence one by one, and of its end.
  scoreText(words) {
    let states = new Int32Array(this.width), after = new Int32Array(this.width);
    this.begin(states, 0);
    return [...words.map((one) => this.number(one)), END].map((number) => {
      const score = this.score(states, 0, number, after, 0);
      [states, after] = [after, states];
      return score;
    });
  }
}

class Plain {
  constructor(values) {
    this.values = values;
  }

  at(place) {
    return this.values[place];
  }
}

class Quantized {
  constructor(codes, values) {
    [this.codes, this.values] = [codes, values];
  }

  at(place) {
    return this.values[this.codes[place]];
  }
}

const numbers = (arrays, name) =>
  arrays[`${name}/codes`] ? new Quantized(arrays[`${name}/codes`], arrays[`${name}/values`]) : new Plain(arrays[name]);

// The second and the third byte of labels as one number.
function joinPlanes(high, top) {
  if (!top?.length) return high;
  const joined = new Uint16Array(high.length);
  for (let place = 0; place < joined.length; place++) joined[place] = high[place] + 256 * top[place];
  return joined;
}
