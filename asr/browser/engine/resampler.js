// Resamples a stream block by block, however it is divided: a low-pass filter of windowed sinc (J. Smith, "Digital Audio
// Resampling Home Page", 2002), for microphones and WAV files with another sample rate than the model's.

const ZERO_CROSSINGS = 32, ROLL_OFF = 0.94, KAISER_BETA = 9;

// The modified Bessel function of the first kind of order zero.
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > sum * 1e-12; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

const greatestDivisor = (one, other) => (other ? greatestDivisor(other, one % other) : one);

export class Resampler {
  constructor(from, to) {
    const divisor = greatestDivisor(from, to);
    [this.up, this.down] = [to / divisor, from / divisor];
    this.isNeeded = from !== to;
    this.position = 0; // of the next output, in units of 1 / up input samples
    this.read = 0; // input samples that came
    this.kept = new Float32Array(0);
    if (!this.isNeeded) return;
    const cutoff = ROLL_OFF * Math.min(1, to / from);
    this.half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.filters = new Map();
    this.cutoff = cutoff;
    this.first = -this.half; // input position of the first sample that is kept
    this.kept = new Float32Array(this.half);
  }

  // The filter for outputs that lie `phase / up` samples after an input.
  filter(phase) {
    let filter = this.filters.get(phase);
    if (filter) return filter;
    filter = new Float64Array(2 * this.half);
    const scale = bessel(KAISER_BETA);
    for (let tap = 0; tap < filter.length; tap++) {
      const distance = tap - this.half + 1 - phase / this.up, angle = Math.PI * distance * this.cutoff;
      const share = distance / this.half;
      const window = Math.abs(share) < 1 ? bessel(KAISER_BETA * Math.sqrt(1 - share ** 2)) / scale : 0;
      filter[tap] = this.cutoff * window * (angle ? Math.sin(angle) / angle : 1);
    }
    this.filters.set(phase, filter);
    return filter;
  }

  push(samples) {
    this.read += samples.length;
    if (!this.isNeeded) return samples;
    return this.run(samples, Infinity);
  }

  // What is left, at the end.
  finish() {
    if (!this.isNeeded) return new Float32Array(0);
    return this.run(new Float32Array(this.half + 1), Math.ceil((this.read * this.up) / this.down));
  }

  run(samples, most) {
    const { up, down, half } = this, joined = new Float32Array(this.kept.length + samples.length);
    joined.set(this.kept);
    joined.set(samples, this.kept.length);
    const outputs = [];
    for (; this.position / down < most; this.position += down) {
      const base = Math.floor(this.position / up), start = base - half + 1 - this.first;
      if (start + 2 * half > joined.length) break;
      const filter = this.filter(this.position % up);
      let sum = 0;
      for (let tap = 0; tap < filter.length; tap++) sum += filter[tap] * joined[start + tap];
      outputs.push(sum);
    }
    const needed = Math.max(0, Math.min(joined.length, Math.floor(this.position / up) - half + 1 - this.first));
    this.kept = joined.slice(needed);
    this.first += needed;
    return Float32Array.from(outputs);
  }
}
