// Files of a model: downloading, unpacking, and arrays in the format of safetensors (asr/tensors.py).

const TYPES = { U8: Uint8Array, U16: Uint16Array, U32: Uint32Array, F32: Float32Array, F64: Float64Array };
const LENGTH_BYTES = 8, PLANES = 4;

// The arrays of a file by name, as typed arrays.
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, LENGTH_BYTES, length)));
  const arrays = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, data_offsets: [begin, end] } = entry;
    const Type = TYPES[dtype], start = LENGTH_BYTES + length + begin;
    // Only a start that is a multiple of the size of a number can be mapped; else the array is copied.
    arrays[name] = start % Type.BYTES_PER_ELEMENT === 0
      ? new Type(buffer, start, (end - begin) / Type.BYTES_PER_ELEMENT)
      : new Type(buffer.slice(start, LENGTH_BYTES + length + end));
  }
  return arrays;
}

// The content of a file. Files are stored compressed, because many hosts send them as they are; a host that has
// unpacked one is no problem either.
export async function unpack(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// A graph whose bytes are stored apart by their place in a number; the first eight bytes are its length.
export function joinPlanes(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true)), planes = new Uint8Array(buffer, LENGTH_BYTES);
  const numbers = planes.length / PLANES, graph = new Uint8Array(planes.length);
  for (let plane = 0; plane < PLANES; plane++) {
    for (let number = 0; number < numbers; number++) graph[number * PLANES + plane] = planes[plane * numbers + number];
  }
  return graph.subarray(0, length);
}

// Download a file and unpack it; `onBytes` gets the number of bytes of each part.
export async function download(address, onBytes = () => {}) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${new URL(address).pathname} cannot be loaded: status ${response.status}.`);
  const parts = [];
  let count = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    count += value.length;
    onBytes(value.length);
  }
  const bytes = new Uint8Array(count);
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return unpack(bytes);
}
