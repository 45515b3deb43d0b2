/**
 * Chance: Philox4x32-10 under key (seed, stream) and counter (t, candidate), and the inverse CDF.
 *
 * Philox: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC11, 2011. A draw is a pure function of where it stands, so that a text is the same here and in Python.
 */

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];

/** The upper 32 bits of the product of two words of 32 bits. */
function upper(a, b) {
  const low = (a & 0xffff) * (b & 0xffff);
  const middle = (a >>> 16) * (b & 0xffff) + Math.floor(low / 0x10000);
  const cross = (a & 0xffff) * (b >>> 16) + (middle % 0x10000);
  return ((a >>> 16) * (b >>> 16) + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0;
}

/** Four words of 32 bits from a key of two and a counter of four. */
export function philox([k0, k1], [x0, x1, x2, x3]) {
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = [upper(MULTIPLIERS[0], x0), Math.imul(MULTIPLIERS[0], x0) >>> 0];
    const [high1, low1] = [upper(MULTIPLIERS[1], x2), Math.imul(MULTIPLIERS[1], x2) >>> 0];
    [x0, x1, x2, x3] = [(high1 ^ x1 ^ k0) >>> 0, low1, (high0 ^ x3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return [x0, x1, x2, x3];
}

/** A number in [0, 1): the upper 24 bits of Philox's first word over 2^24. */
export function uniform(seed, stream, t, candidate = 0) {
  return (philox([seed, stream], [t, candidate, 0, 0])[0] >>> 8) / 2 ** 24;
}

/** The first id whose cumulative weight exceeds u times the whole, in float32 as in Python. */
export function pick(weights, u) {
  let total = 0;
  for (const weight of weights) total = Math.fround(total + weight);
  const threshold = Math.fround(Math.fround(u) * total);
  let reached = 0;
  let last = 0;
  for (let k = 0; k < weights.length; k++) {
    if (weights[k] > 0) {
      reached = Math.fround(reached + weights[k]);
      last = k;
      if (reached > threshold) break;
    }
  }
  return last;
}
