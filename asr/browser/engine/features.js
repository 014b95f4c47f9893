// Log-mel features: the same numbers as asr/audio/features.py, up to rounding.

const SMALLEST_DEVIATION = 0.1;

// A Fourier transform of real numbers: `size` of them, a power of two.
class RealTransform {
  constructor(size) {
    this.half = size / 2;
    const { half } = this;
    this.cosine = new Float64Array(half);
    this.sine = new Float64Array(half);
    for (let place = 0; place < half; place++) {
      this.cosine[place] = Math.cos((2 * Math.PI * place) / size);
      this.sine[place] = Math.sin((2 * Math.PI * place) / size);
    }
    this.reversed = new Uint32Array(half);
    for (let place = 0, bits = Math.log2(half); place < half; place++) {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((place >> bit) & 1) << (bits - 1 - bit);
      this.reversed[place] = turned;
    }
    this.real = new Float64Array(half);
    this.imaginary = new Float64Array(half);
  }

  // The power of each of the `size / 2 + 1` bins. Two neighbouring samples are one complex number of a transform of
  // half the size (W. Press et al., "Numerical Recipes", section 12.3).
  power(samples, result) {
    const { half, real, imaginary, reversed, cosine, sine } = this;
    for (let place = 0; place < half; place++) {
      real[reversed[place]] = samples[2 * place];
      imaginary[reversed[place]] = samples[2 * place + 1];
    }
    for (let length = 2; length <= half; length *= 2) {
      const step = (2 * half) / length;
      for (let start = 0; start < half; start += length) {
        for (let offset = 0, turn = 0; offset < length / 2; offset++, turn += step) {
          const one = start + offset, other = one + length / 2;
          const x = real[other] * cosine[turn] + imaginary[other] * sine[turn];
          const y = imaginary[other] * cosine[turn] - real[other] * sine[turn];
          real[other] = real[one] - x;
          imaginary[other] = imaginary[one] - y;
          real[one] += x;
          imaginary[one] += y;
        }
      }
    }
    result[0] = (real[0] + imaginary[0]) ** 2;
    result[half] = (real[0] - imaginary[0]) ** 2;
    for (let bin = 1; bin < half; bin++) {
      const other = half - bin;
      const evenReal = (real[bin] + real[other]) / 2, evenImaginary = (imaginary[bin] - imaginary[other]) / 2;
      const oddReal = (imaginary[bin] + imaginary[other]) / 2, oddImaginary = (real[other] - real[bin]) / 2;
      const x = evenReal + oddReal * cosine[bin] + oddImaginary * sine[bin];
      const y = evenImaginary + oddImaginary * cosine[bin] - oddReal * sine[bin];
      result[bin] = x * x + y * y;
    }
  }
}

// Rows of numbers one behind the other.
export class Frames {
  constructor(count, width, values = new Float32Array(count * width)) {
    [this.count, this.width, this.values] = [count, width, values];
  }

  slice(first, end = this.count) {
    return new Frames(end - first, this.width, this.values.subarray(first * this.width, end * this.width));
  }

  static join(parts, width) {
    const all = new Frames(parts.reduce((sum, one) => sum + one.count, 0), width);
    let place = 0;
    for (const one of parts) {
      all.values.set(one.values, place);
      place += one.values.length;
    }
    return all;
  }
}

export class LogMel {
  // `settings` as in a bundle's card; `arrays` has the mel matrix, and mean and deviation where there are some.
  constructor(settings, arrays) {
    this.settings = settings;
    this.rate = settings.sample_rate;
    this.hop = roundHalfEven(settings.hop_seconds * this.rate);
    this.windowSamples = roundHalfEven(settings.window_seconds * this.rate);
    this.fftSize = 2 ** Math.ceil(Math.log2(this.windowSamples));
    this.mels = settings.mels;
    [this.mean, this.deviation] = [arrays.mean ?? null, arrays.deviation ?? null];
    this.transform = new RealTransform(this.fftSize);
    this.window = Float32Array.from({ length: this.windowSamples }, (_, place) => 0.5 - 0.5 * Math.cos((2 * Math.PI * place) / this.windowSamples));
    const bins = this.fftSize / 2 + 1;
    this.bands = Array.from({ length: this.mels }, (_, band) => {
      const row = arrays.matrix.subarray(band * bins, (band + 1) * bins);
      const first = row.findIndex((weight) => weight !== 0);
      const last = row.findLastIndex((weight) => weight !== 0);
      return { first: Math.max(first, 0), weights: first < 0 ? row.subarray(0, 0) : row.subarray(first, last + 1) };
    });
    this.power = new Float64Array(bins);
    this.padded = new Float64Array(this.fftSize);
  }

  frameCount(samples) {
    return 1 + Math.floor(samples / this.hop);
  }

  // Frames before normalisation; frame i is centred on sample i * hop.
  logMel(samples) {
    const { hop, windowSamples, window, padded, power, mels, bands } = this;
    const frames = new Frames(this.frameCount(samples.length), mels);
    const before = this.fftSize / 2 - Math.floor((this.fftSize - windowSamples) / 2);
    for (let frame = 0; frame < frames.count; frame++) {
      const start = frame * hop - before;
      for (let place = 0; place < windowSamples; place++) {
        const at = start + place;
        padded[place] = at >= 0 && at < samples.length ? Math.fround(samples[at] * window[place]) : 0;
      }
      this.transform.power(padded, power);
      for (let band = 0; band < mels; band++) {
        const { first, weights } = bands[band];
        let sum = 0;
        for (let bin = 0; bin < weights.length; bin++) sum += power[first + bin] * weights[bin];
        frames.values[frame * mels + band] = Math.log(Math.max(sum, this.settings.log_floor));
      }
    }
    return frames;
  }

  normalize(frames) {
    const kind = this.settings.normalization;
    if (kind === "none" || !frames.count) return frames;
    if (kind === "running") return this.running().take(frames);
    let { mean, deviation } = this;
    if (kind === "utterance") [mean, deviation] = statistics(frames);
    const normalized = new Frames(frames.count, frames.width);
    for (let place = 0, band = 0; place < frames.values.length; place++) {
      normalized.values[place] = Math.fround(frames.values[place] - mean[band]) / Math.fround(Math.max(deviation[band], SMALLEST_DEVIATION));
      if (++band === frames.width) band = 0;
    }
    return normalized;
  }

  running() {
    return new RunningNormalization(this);
  }
}

function statistics({ count, width, values }) {
  const mean = new Float64Array(width), deviation = new Float64Array(width);
  for (let place = 0; place < values.length; place++) mean[place % width] += values[place];
  for (let band = 0; band < width; band++) mean[band] /= count;
  for (let place = 0; place < values.length; place++) deviation[place % width] += (values[place] - mean[place % width]) ** 2;
  for (let band = 0; band < width; band++) deviation[band] = Math.sqrt(deviation[band] / count);
  return [Float32Array.from(mean), Float32Array.from(deviation)];
}

// Normalises each frame of a stream with the statistics of those up to it; see RunningNormalization in Python.
class RunningNormalization {
  constructor({ settings, mean, deviation, mels }) {
    const framesPerSecond = 1 / settings.hop_seconds, prior = settings.prior_seconds * framesPerSecond;
    this.mels = mels;
    this.silence = Math.log(settings.log_floor) + SMALLEST_DEVIATION;
    this.second = Math.max(1, roundHalfEven(framesPerSecond));
    this.fading = Math.exp((-this.second * settings.hop_seconds) / settings.memory_seconds);
    this.priorCount = prior;
    this.priorValues = Float64Array.from(mean, (one) => one * prior);
    this.priorSquares = Float64Array.from(mean, (one, band) => (deviation[band] ** 2 + one ** 2) * prior);
    this.count = 0;
    this.values = new Float64Array(mels);
    this.squares = new Float64Array(mels);
    this.position = 0;
  }

  take(frames) {
    const { mels } = this, normalized = new Frames(frames.count, mels);
    for (let frame = 0; frame < frames.count; frame++) {
      const row = frames.values.subarray(frame * mels, (frame + 1) * mels);
      let highest = -Infinity;
      for (const one of row) highest = Math.max(highest, one);
      if (highest > this.silence) {
        this.count++;
        for (let band = 0; band < mels; band++) {
          this.values[band] += row[band];
          this.squares[band] += row[band] ** 2;
        }
      }
      const total = this.count + this.priorCount;
      for (let band = 0; band < mels; band++) {
        const mean = (this.values[band] + this.priorValues[band]) / total;
        const deviation = Math.sqrt(Math.max((this.squares[band] + this.priorSquares[band]) / total - mean ** 2, 0));
        normalized.values[frame * mels + band] = (row[band] - mean) / Math.max(deviation, SMALLEST_DEVIATION);
      }
      if (++this.position % this.second === 0) {
        this.count *= this.fading;
        for (let band = 0; band < mels; band++) {
          this.values[band] *= this.fading;
          this.squares[band] *= this.fading;
        }
      }
    }
    return normalized;
  }
}

// As Python rounds.
export function roundHalfEven(number) {
  const down = Math.floor(number), rest = number - down;
  if (rest !== 0.5) return Math.round(number);
  return down % 2 ? down + 1 : down;
}
