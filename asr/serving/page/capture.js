// Runs in the audio thread: hands the samples of the microphone to the page, some at a time.

const SAMPLES = 800; // 50 ms of 16 kHz

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(SAMPLES);
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = () => { // what is left, at the end
      this.port.postMessage({ samples: this.#block.slice(0, this.#filled), isLast: true });
      this.#filled = 0;
    };
  }

  process([channels]) {
    const count = channels[0]?.length ?? 0;
    for (let place = 0; place < count; place++) {
      let sum = 0;
      for (const channel of channels) sum += channel[place];
      this.#block[this.#filled++] = sum / channels.length;
      if (this.#filled === SAMPLES) {
        this.port.postMessage({ samples: this.#block, isLast: false });
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
