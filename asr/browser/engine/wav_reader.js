// Reads WAV files block by block, of any length: what browsers decode they hold in memory as a whole.

const SECONDS = 20;
const PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe;
const ENDLESS = 0xffffffff; // the length in the header of a file that was written to a pipe

// {rate, channels, blocks: an asynchronous iterator of mixed samples, seconds}, or null for what it cannot read.
export async function openWav(file) {
  const head = new DataView(await file.slice(0, 12).arrayBuffer());
  const name = (view, place) => String.fromCharCode(...Array.from({ length: 4 }, (_, offset) => view.getUint8(place + offset)));
  if (head.byteLength < 12 || !["RIFF", "RF64"].includes(name(head, 0)) || name(head, 8) !== "WAVE") return null;
  let place = 12, format = null, longLength = null;
  while (place + 8 <= file.size) {
    const chunk = new DataView(await file.slice(place, place + 48).arrayBuffer());
    if (chunk.byteLength < 8) return null;
    const kind = name(chunk, 0);
    let length = chunk.getUint32(4, true);
    if (kind === "ds64" && chunk.byteLength >= 24) longLength = Number(chunk.getBigUint64(16, true));
    else if (kind === "fmt " && chunk.byteLength >= 24) {
      let code = chunk.getUint16(8, true);
      if (code === EXTENSIBLE && chunk.byteLength >= 34) code = chunk.getUint16(32, true);
      format = { code, channels: chunk.getUint16(10, true), rate: chunk.getUint32(12, true), bits: chunk.getUint16(22, true) };
    } else if (kind === "data") {
      if (!format) return null;
      const start = place + 8;
      if (length === ENDLESS) length = longLength ?? Infinity;
      return opened(file, format, start, Math.min(start + length, file.size));
    }
    place += 8 + length + (length % 2);
  }
  return null;
}

const READERS = {
  [`${PCM}:8`]: (view, place) => (view.getUint8(place) - 128) / 128,
  [`${PCM}:16`]: (view, place) => view.getInt16(place, true) / 32768,
  [`${PCM}:24`]: (view, place) => ((view.getInt8(place + 2) << 16) | view.getUint16(place, true)) / 8388608,
  [`${PCM}:32`]: (view, place) => view.getInt32(place, true) / 2147483648,
  [`${FLOAT}:32`]: (view, place) => view.getFloat32(place, true),
  [`${FLOAT}:64`]: (view, place) => view.getFloat64(place, true),
};

function opened(file, { code, channels, rate, bits }, start, end) {
  const read = READERS[`${code}:${bits}`], width = bits / 8;
  if (!read || !channels || rate < 1000 || rate > 768000) return null;
  const frame = width * channels, count = Math.floor((end - start) / frame);
  async function* blocks() {
    for (let first = 0; first < count; first += SECONDS * rate) {
      const samples = new Float32Array(Math.min(SECONDS * rate, count - first));
      const view = new DataView(await file.slice(start + first * frame, start + (first + samples.length) * frame).arrayBuffer());
      for (let place = 0; place < samples.length; place++) {
        let sum = 0;
        for (let channel = 0; channel < channels; channel++) sum += read(view, place * frame + channel * width);
        samples[place] = sum / channels;
      }
      yield samples;
    }
  }
  return { rate, channels, seconds: count / rate, blocks };
}
