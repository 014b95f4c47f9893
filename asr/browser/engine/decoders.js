// Makes texts of log-probabilities: greedy, or by beam search (asr/decoding/greedy.py, decoder.py). A hypothesis is
// {characters, text, steps, logProbs, score}, with a step and a log-probability for each character.

import { BeamSearch, trace, withoutReading } from "./beam.js";
import { IMPOSSIBLE, logaddexp } from "./logarithms.js";
import { NOT_FOUND } from "./ngram.js";
import { LogProbs } from "./windows.js";

const BLANK = 0, LEAST_PRIOR = 1e-4;

const hypothesis = (characters, steps, logProbs, score) => ({ characters, text: characters.join(""), steps, logProbs, score });

// A path of {number, step, logProb} as text; with `strip`, without spaces at its end.
function spellPath(path, alphabet, score, strip = false) {
  const { characters, owners } = alphabet.spell(path.map((one) => one.number));
  if (strip) while (characters.at(-1) === " ") characters.pop();
  const places = owners.slice(0, characters.length);
  return hypothesis(characters, places.map((place) => path[place].step), places.map((place) => path[place].logProb), score);
}

// The step of the last symbol that is no space, or -1.
function lastStep({ characters, steps }) {
  let count = characters.length;
  while (count && characters[count - 1] === " ") count--;
  return count ? steps[count - 1] : -1;
}

export class GreedyDecoder {
  overWords = false;

  constructor(alphabet) {
    this.alphabet = alphabet;
  }

  decode(logProbs) {
    const stream = this.stream();
    stream.advance(logProbs);
    return stream.finish();
  }

  stream() {
    return new GreedyStream(this.alphabet);
  }

  languageScores() {
    return null;
  }
}

class GreedyStream {
  constructor(alphabet) {
    Object.assign(this, { alphabet, path: [], last: BLANK, step: 0, score: 0 });
  }

  advance({ steps, symbols, values }) {
    const path = this.path.slice();
    for (let step = 0; step < steps; step++, this.step++) {
      let best = 0;
      for (let symbol = 1; symbol < symbols; symbol++) if (values[step * symbols + symbol] > values[step * symbols + best]) best = symbol;
      const logProb = values[step * symbols + best];
      if (best !== BLANK && best !== this.last) path.push({ number: best, step: this.step, logProb });
      this.last = best;
      this.score += logProb;
    }
    this.path = path;
  }

  copy() {
    return Object.assign(Object.create(GreedyStream.prototype), this);
  }

  best() {
    return spellPath(this.path, this.alphabet, this.score);
  }

  get lastStep() {
    return lastStep(this.best());
  }

  get settled() {
    return this.best().characters;
  }

  finish() {
    return this.best();
  }
}

export class BeamDecoder {
  // `settings` as in a bundle's card; `isPhones` where words are decoded as phones.
  constructor(alphabet, settings, { scorers, model = null, priors = [], isPhones = false, inWords = false }) {
    Object.assign(this, { alphabet, settings, scorers, model, isPhones, inWords });
    const weight = settings.prior_weight ?? 0;
    this.penalties = weight ? Float64Array.from(priors, (one) => weight * Math.log(Math.max(one, LEAST_PRIOR))) : null;
    this.overWords = scorers.some((one) => one.lexicon?.initial);
    this.lexicon = this.overWords ? scorers.find((one) => one.lexicon?.initial).lexicon : null;
  }

  decode(logProbs) {
    const stream = this.stream();
    stream.advance(logProbs);
    return stream.finish(false);
  }

  stream(beamWidth = Infinity) {
    const settings = { ...this.settings, beam_width: Math.min(beamWidth, this.settings.beam_width) };
    return new BeamStream(this, new BeamSearch(settings, this.scorers));
  }

  languageScores(text) {
    if (!this.model || this.model.unit === "characters") return null;
    return this.model.scoreText(text.split(/\s+/u).filter(Boolean));
  }

  // Probabilities divided by the priors of the symbols, and normalised again.
  divided({ steps, symbols, values }) {
    const { penalties } = this;
    if (!penalties) return new LogProbs(steps, symbols, values);
    const divided = new LogProbs(steps, symbols), row = new Float64Array(symbols);
    for (let step = 0; step < steps; step++) {
      let sum = 0;
      for (let symbol = 0; symbol < symbols; symbol++) {
        row[symbol] = values[step * symbols + symbol] - penalties[symbol];
        sum = symbol ? logaddexp(sum, row[symbol]) : row[0];
      }
      for (let symbol = 0; symbol < symbols; symbol++) divided.values[step * symbols + symbol] = row[symbol] - sum;
    }
    return divided;
  }

  spell(node, lastReading, score, strip = false) {
    const path = trace(node);
    if (this.isPhones) return this.spellWords(path, lastReading, score);
    const plain = path.map(({ number, step, logProb }) => ({ number: withoutReading(number)[0], step, logProb }));
    if (!this.overWords) return spellPath(plain, this.alphabet, score, strip);
    // A piece of a word that is cut off is left out.
    let end = plain.length;
    if (lastReading === NOT_FOUND) {
      while (end && !this.lexicon.initial[plain[end - 1].number]) end--;
      end = Math.max(0, end - 1);
    }
    return spellPath(plain.slice(0, end), this.alphabet, score);
  }

  // The words of a path of phones. The characters of a word share the steps of its phones; a word that is cut off is
  // left out.
  spellWords(path, lastReading, score) {
    const { lexicon } = this, symbols = path.map((one) => withoutReading(one.number));
    const starts = symbols.flatMap(([symbol], place) => (lexicon.initial[symbol] ? [place] : []));
    const characters = [], steps = [], logProbs = [];
    for (let word = 0; word < starts.length; word++) {
      const start = starts[word], end = starts[word + 1] ?? symbols.length;
      const reading = word + 1 === starts.length ? lastReading : symbols[end][1];
      if (reading === NOT_FOUND) break;
      let node = 0;
      for (let place = start; place < end; place++) node = lexicon.follow(node, symbols[place][0]);
      if (word) {
        characters.push(" ");
        steps.push(path[start - 1].step);
        logProbs.push(path[start - 1].logProb);
      }
      const letters = [...lexicon.spellings[lexicon.word(node, reading)]];
      letters.forEach((letter, place) => {
        const phone = path[start + Math.floor((place * (end - start)) / letters.length)];
        characters.push(letter);
        steps.push(phone.step);
        logProbs.push(phone.logProb);
      });
    }
    return hypothesis(characters, steps, logProbs, score);
  }

  // The best text of some endings, best first; equal texts are added up.
  best(endings, isStream) {
    const found = new Map(), width = this.settings.n_best ?? 1;
    let enough = this.inWords || isStream ? 2 * width : width;
    if (this.overWords || this.alphabet.isPieces) enough = endings.length;
    for (const { node, reading, score } of endings.slice(0, enough + 1)) {
      if (score <= IMPOSSIBLE / 10 && found.size) break;
      const one = this.spell(node, reading, score, this.inWords || isStream), known = found.get(one.text);
      if (known) known.score = logaddexp(score, known.score);
      else found.set(one.text, one);
    }
    return [...found.values()].reduce((one, other) => (this.isBetter(other, one) ? other : one));
  }

  isBetter(one, other) {
    if (one.score !== other.score) return one.score > other.score;
    const rank = (character) => (this.overWords || this.alphabet.isPieces ? character.codePointAt(0) : this.alphabet.symbols.indexOf(character));
    for (let place = 0; place < Math.min(one.characters.length, other.characters.length); place++) {
      const difference = rank(one.characters[place]) - rank(other.characters[place]);
      if (difference) return difference < 0;
    }
    return one.characters.length < other.characters.length;
  }
}

class BeamStream {
  constructor(decoder, search) {
    [this.decoder, this.search] = [decoder, search];
  }

  advance(logProbs) {
    this.search.advance(this.decoder.divided(logProbs));
  }

  copy() {
    return new BeamStream(this.decoder, this.search.copy());
  }

  // The best text so far if the recording goes on; an unfinished word over phones is not in it.
  best() {
    const { node, reading, score } = this.search.leader();
    return this.decoder.spell(node, reading, score);
  }

  get lastStep() {
    if (!this.decoder.overWords) return lastStep(this.best());
    return this.search.leader().node?.step ?? -1;
  }

  // The beginning of the text that nothing can change.
  get settled() {
    return this.decoder.spell(this.search.settled(), NOT_FOUND, 0).characters;
  }

  finish(isStream = true) {
    return this.decoder.best(this.search.finish(), isStream);
  }
}
