// Hashes of 64 bits, the same as those of asr/decoding/context.py, each as two numbers of 32 bits.

const FACTOR_HIGH = 0x9e3779b9, FACTOR_LOW = 0x7f4a7c15;
const LOW_0 = FACTOR_LOW & 0xffff, LOW_1 = FACTOR_LOW >>> 16;
const TWO_32 = 4294967296;

// The last result of `mix`: a function that returned a pair would make an object for every hypothesis.
export const mixed = { high: 0, low: 0 };

// The hash of a sequence that is longer by a whole number; -1 counts as 2 ** 64 - 1, as unsigned numbers of NumPy do.
export function mix(high, low, number) {
  let sumLow = low, sumHigh = high;
  if (number >= 0) { // plus number, plus one
    sumLow += (number % TWO_32) + 1;
    sumHigh += Math.floor(number / TWO_32);
    if (sumLow >= TWO_32) {
      sumLow -= TWO_32;
      sumHigh++;
    }
  } // minus one, plus one: nothing
  mixPair(sumHigh >>> 0, sumLow >>> 0);
}

// The same, longer by a hash.
export function mixHash(high, low, otherHigh, otherLow) {
  let sumLow = low + otherLow + 1, carry = 0;
  while (sumLow >= TWO_32) {
    sumLow -= TWO_32;
    carry++;
  }
  mixPair((high + otherHigh + carry) >>> 0, sumLow >>> 0);
}

// Times the factor, modulo 2 ** 64; then xor with itself, 29 bits to the right.
function mixPair(high, low) {
  const low0 = low & 0xffff, low1 = low >>> 16;
  const first = low0 * LOW_0;
  const middle = low1 * LOW_0 + (first >>> 16);
  const other = low0 * LOW_1 + (middle % 65536);
  const carried = low1 * LOW_1 + Math.floor(middle / 65536) + Math.floor(other / 65536);
  const productLow = Math.imul(low, FACTOR_LOW) >>> 0;
  const productHigh = ((carried | 0) + Math.imul(low, FACTOR_HIGH) + Math.imul(high, FACTOR_LOW)) >>> 0;
  mixed.low = (productLow ^ ((productLow >>> 29) | (productHigh << 3))) >>> 0;
  mixed.high = (productHigh ^ (productHigh >>> 29)) >>> 0;
}

// The hash of a row of a matrix of whole numbers.
export function mixRow(numbers, start, count) {
  mixed.high = mixed.low = 0;
  for (let place = start; place < start + count; place++) mix(mixed.high, mixed.low, numbers[place]);
}
