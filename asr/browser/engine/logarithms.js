// log(exp(left) + exp(right)), as NumPy computes it.
export function logaddexp(left, right) {
  if (left === right) return left + Math.LN2;
  const difference = left - right;
  return difference > 0 ? left + Math.log1p(Math.exp(-difference)) : right + Math.log1p(Math.exp(difference));
}

// Stands for a log-probability of minus infinity in sums, which it keeps free of NaN.
export const IMPOSSIBLE = -1e30;
