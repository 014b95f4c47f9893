// A model that is loaded: from samples to words with times. It runs in a worker, and in tests without a browser.

import { confidences } from "./confidence.js";
import { BeamDecoder, GreedyDecoder } from "./decoders.js";
import { LogMel } from "./features.js";
import { PathLexicon, WordLexicon } from "./lexicons.js";
import { NgramModel } from "./ngram.js";
import { CharacterScorer, PathScorer, WordScorer } from "./scorers.js";
import { readTensors } from "./tensors.js";
import { Alphabet } from "./texts.js";
import { isSilent, LogProbs, Stitcher, WindowCutter } from "./windows.js";

const SPACE_WORD = "<space>";

export class Recogniser {
  // `card` is the model's description; `files` has the content of its files; `network` runs its graph: an object with
  // `run(frames)` that resolves to the log-probabilities of all output layers.
  constructor(card, files, network) {
    this.card = card;
    this.network = network;
    this.alphabet = new Alphabet(card.alphabet);
    const arrays = readTensors(files.statistics);
    this.logMel = new LogMel(card.features, arrays);
    this.rate = card.features.sample_rate;
    this.subsampling = card.subsampling;
    this.stepSamples = this.logMel.hop * card.subsampling;
    this.stepSeconds = card.features.hop_seconds * card.subsampling;
    this.calibration = card.confidence ?? null;
    const model = files.language ? new NgramModel(card.language, readTensors(files.language)) : null;
    this.decoder = card.decoder ? makeBeamDecoder(card, this.alphabet, model, arrays, files) : new GreedyDecoder(this.alphabet);
  }

  // The output of the decoder's layer for frames before normalisation.
  async logProbs(frames) {
    return this.layer(await this.network.run(this.logMel.normalize(frames)));
  }

  layer(all) {
    const [first, end] = this.card.output, part = new LogProbs(all.steps, end - first);
    for (let step = 0; step < all.steps; step++) {
      part.values.set(all.values.subarray(step * all.symbols + first, step * all.symbols + end), step * part.symbols);
    }
    return part;
  }

  recording() {
    return new Recording(this);
  }

  // A stretch of log-probabilities as text and words.
  decode({ firstStep, logProbs }) {
    const found = this.decoder.decode(logProbs);
    return { text: this.alphabet.join([found.text]), words: this.words(firstStep, logProbs, found), score: found.score };
  }

  words(firstStep, logProbs, found) {
    const spans = this.alphabet.words(found.characters);
    const sure = this.calibration ? confidences(this.calibration, found, logProbs, spans, this.decoder.languageScores(found.text)) : [];
    return spans.map(([start, end], place) => ({
      word: found.characters.slice(start, end).join(""),
      start: milliseconds((firstStep + found.steps[start]) * this.stepSeconds),
      end: milliseconds((firstStep + found.steps[end - 1] + 1) * this.stepSeconds),
      ...(this.calibration ? { confidence: sure[place] } : {}),
    }));
  }
}

export const milliseconds = (seconds) => Math.round(seconds * 1000) / 1000;

// A recording that comes block by block.
class Recording {
  constructor(recogniser) {
    this.recogniser = recogniser;
    this.cutter = new WindowCutter(recogniser.rate, recogniser.stepSamples);
    this.stitcher = new Stitcher(recogniser.stepSeconds);
    this.texts = [];
    this.words = [];
    this.doneSeconds = 0;
    this.score = 0;
  }

  // The next samples; yields the text after each window.
  async *push(samples) {
    yield* this.windows(this.cutter.push(samples));
  }

  async *windows(windows) {
    const { recogniser } = this;
    for (const window of windows) {
      const logProbs = isSilent(window.samples) ? null : await recogniser.logProbs(recogniser.logMel.logMel(window.samples));
      for (const stretch of this.stitcher.push(window, logProbs)) this.take(stretch);
      this.doneSeconds = window.end * recogniser.stepSeconds;
      yield this.text;
    }
  }

  take(stretch) {
    const { text, words, score } = this.recogniser.decode(stretch);
    this.texts.push(text);
    this.words.push(...words);
    this.score += score;
  }

  get text() {
    return this.recogniser.alphabet.join(this.texts);
  }

  async finish() {
    for await (const text of this.windows(this.cutter.finish())) void text;
    for (const stretch of this.stitcher.finish()) this.take(stretch);
    const duration = this.cutter.samples / this.recogniser.rate, latest = milliseconds(duration);
    const words = this.words.map((one) => ({ ...one, start: Math.min(one.start, latest), end: Math.min(one.end, latest) }));
    return { text: this.text, words, duration, score: this.score };
  }
}

function makeBeamDecoder(card, alphabet, model, arrays, files) {
  const { decoder } = card;
  const weights = {
    weight: decoder.lm_weight, bonus: decoder.word_bonus, unknownScore: decoder.unknown_score, isOpen: decoder.open_vocabulary, space: alphabet.separatorNumber,
  };
  const options = { model, priors: arrays.priors ?? [], isPhones: Boolean(card.lexicon?.phones), inWords: false, scorers: [] };
  if (card.lexicon) {
    const isOpen = weights.isOpen && !options.isPhones;
    const lexicon = new PathLexicon(card.lexicon, readTensors(files.lexicon), model, { ...weights, isOpen });
    options.scorers.push(new PathScorer(lexicon, model, { ...weights, isOpen }));
  } else if (model?.unit === "characters") {
    const names = alphabet.symbols.map((symbol) => (symbol === alphabet.separator ? SPACE_WORD : symbol));
    options.scorers.push(new CharacterScorer([0, ...names.map((name) => model.number(name))], model, weights));
  } else if (model) {
    options.scorers.push(new WordScorer(new WordLexicon(model.words, model, alphabet.symbols, weights), model, weights));
    options.inWords = true;
  }
  return new BeamDecoder(alphabet, decoder, options);
}
