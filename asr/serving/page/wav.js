// 16-bit samples, and a WAV file of them.

export function toInt16(samples) {
  const whole = new Int16Array(samples.length);
  for (let place = 0; place < samples.length; place++) {
    whole[place] = Math.max(-32768, Math.min(32767, Math.round(samples[place] * 32768)));
  }
  return whole;
}

export function wavFile(blocks, rate) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (place, letters) => [...letters].forEach((letter, offset) => header.setUint8(place + offset, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...blocks], { type: "audio/wav" });
}
