/**
 * The sampler: what happens between logits and a drawn id.
 *
 * Options have the names that Python, generation.json and HTTP give them, and apply in this order:
 *
 * 1. `bias`, `ban`, `only` and the ids that are never drawn: one number added to each logit
 * 2. frequency_penalty and presence_penalty
 * 3. no_repeat: what would complete a run of N ids seen before is forbidden, if anything else is left
 * 4. temperature (0: the largest logit wins, and nothing below applies)
 * 5. top_k, then top_p, then min_p
 * 6. the draw: softmax and inverse CDF
 *
 * Logits are float32, and so is every step, as in Python. Sources: docstrings of charloom.runtime.sampler.
 */

import { pick, uniform } from "./draw.js";
import { failure } from "./errors.js";

const LIMITS = {
  // name: [default, least, most, whole]
  temperature: [1, 0, 100, false],
  top_k: [0, 0, 2 ** 31 - 1, true],
  top_p: [1, Number.MIN_VALUE, 1, false],
  min_p: [0, 0, 1, false],
  frequency_penalty: [0, -100, 100, false],
  presence_penalty: [0, -100, 100, false],
  no_repeat: [0, 0, 2 ** 31 - 1, true],
  strength: [1, 0, 100, false],
  length: [300, 1, 2 ** 31 - 1, true],
  seed: [0, 0, 2 ** 32 - 1, true],
  stream: [0, 0, 2 ** 32 - 1, true],
};

/**
 * The options given over the model's defaults, every option present; undefined and null mean the default.
 * Throws a RangeError for a wrong one.
 */
export function settings(given, defaults = {}) {
  const result = { bias: {}, ban: "", only: "", stop: [], ignore_eos: false };
  for (const name in LIMITS) [result[name]] = LIMITS[name];
  const known = Object.keys(result);
  for (const [name, value] of [...Object.entries(defaults), ...Object.entries(given)]) {
    if (!known.includes(name)) throw failure("unknown_option", { name, known: known.join(", ") });
    if (value !== undefined && value !== null) result[name] = value;
  }
  for (const [name, [, least, most, whole]] of Object.entries(LIMITS)) checkNumber(name, result[name], least, most, whole);
  const { ignore_eos, ban, only, stop, bias } = result;
  if (typeof ignore_eos !== "boolean") throw failure("boolean_option", { name: "ignore_eos", value: String(ignore_eos) });
  for (const [name, value] of Object.entries({ ban, only })) {
    if (typeof value !== "string") throw failure("text_option", { name, value: String(value) });
  }
  result.stop = typeof stop === "string" ? [stop] : stop;
  if (!Array.isArray(result.stop) || !result.stop.every((each) => typeof each === "string")) {
    throw failure("stop_option", { value: String(stop) });
  }
  if (result.stop.includes("")) throw failure("empty_stop");
  for (const [character, value] of Object.entries(bias)) {
    if (Array.from(character).length !== 1) throw failure("bias_character", { character: JSON.stringify(character) });
    if (typeof value !== "number" || !(value < Infinity)) {
      throw failure("bias_number", { character: JSON.stringify(character), value: String(value) });
    }
  }
  return result;
}

function checkNumber(name, value, least, most, whole) {
  if (typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value))) return;
  const shown = typeof value === "number" ? value : JSON.stringify(value);
  throw failure(whole ? "whole_range" : "number_range", { name, value: shown, least, most });
}

export class Sampler {
  /** For one text: `options` from `settings`, `history` the ids read so far. Throws a RangeError. */
  constructor(options, vocabulary, history) {
    this.options = options;
    this.added = added(options, vocabulary);
    this.counts = new Float64Array(vocabulary.size);
    this.history = Array.from(history);
    this.t = 0;
  }

  /** The next id, given the logits for it, which stay as they are. */
  draw(logits) {
    const { temperature, seed, stream } = this.options;
    const shaped = this.shape(logits);
    const id = temperature ? pick(weights(shaped), uniform(seed, stream, this.t)) : largest(shaped);
    this.t++;
    this.counts[id]++;
    this.history.push(id);
    return id;
  }

  /** Steps 1 to 5 of the order above. */
  shape(logits) {
    const { frequency_penalty: frequency, presence_penalty: presence, ...options } = this.options;
    const shaped = logits.map((logit, k) => logit + this.added[k]);
    if (frequency || presence) {
      this.counts.forEach((count, k) => {
        if (count) shaped[k] -= Math.fround(count * frequency + presence);
      });
    }
    if (options.no_repeat) forbidRepeats(shaped, this.history, options.no_repeat);
    if (options.temperature) {
      const temperature = Math.fround(options.temperature);
      for (let k = 0; k < shaped.length; k++) shaped[k] /= temperature;
      if (options.top_k && options.top_k < shaped.length) keepTopK(shaped, options.top_k);
      if (options.top_p < 1) keepTopP(shaped, options.top_p);
      if (options.min_p) keepMinP(shaped, options.min_p);
    }
    return shaped;
  }
}

/** Softmax without its division: exp(logit - largest), (V,). */
export function weights(logits) {
  const top = logits[largest(logits)];
  return logits.map((logit) => Math.exp(Math.fround(logit - top)));
}

/** Logits as log-probabilities in nats, in double precision. */
export function logSoftmax(logits) {
  const top = logits[largest(logits)];
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - top);
  const whole = top + Math.log(total);
  return Float64Array.from(logits, (logit) => logit - whole);
}

/** The ids by falling logit, ties to the lowest id. */
export function byLikelihood(logits) {
  return Array.from(logits.keys()).sort((a, b) => (logits[a] === logits[b] ? a - b : logits[a] > logits[b] ? -1 : 1));
}

function largest(logits) {
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k] > logits[best]) best = k;
  return best;
}

/**
 * What is added to every logit, (V,): biases, and -Infinity for what must not be drawn. What `ban` and
 * `only` name and the model does not know changes nothing.
 */
function added({ only, bias, ban, ignore_eos }, vocabulary) {
  const result = new Float32Array(vocabulary.size);
  const { "<eos>": eos } = vocabulary.specials;
  if (only) {
    result.fill(-Infinity);
    for (const id of known(only, vocabulary)) result[id] = 0;
    if (eos !== undefined) result[eos] = 0;
  }
  for (const [character, nats] of Object.entries(bias)) {
    const ids = known(character, vocabulary);
    if (!ids.length) throw failure("bias_unknown", { character: JSON.stringify(character) });
    for (const id of ids) result[id] += Math.fround(nats);
  }
  for (const id of known(ban, vocabulary)) result[id] = -Infinity;
  for (const [name, id] of Object.entries(vocabulary.specials)) {
    if (name !== "<eos>" || ignore_eos) result[id] = -Infinity;
  }
  if (result.every((value, id) => id === eos || value === -Infinity)) {
    throw failure("nothing_left");
  }
  return result;
}

/** The ids of the characters that the model knows; in unit byte all bytes of each. */
function known(characters, vocabulary) {
  return Array.from(characters).flatMap((character) => (vocabulary.knows(character) ? vocabulary.encode(character) : []));
}

function forbidRepeats(logits, history, n) {
  const before = logits.slice();
  const last = history.length - n + 1;
  for (let start = 0; start < last; start++) {
    let same = 0;
    while (same < n - 1 && history[start + same] === history[last + same]) same++;
    if (same === n - 1 && history[start + same] < logits.length) logits[history[start + same]] = -Infinity;
  }
  if (logits.every((logit) => logit === -Infinity)) logits.set(before);
}

function keepTopK(logits, count) {
  for (const id of byLikelihood(logits).slice(count)) logits[id] = -Infinity;
}

function keepTopP(logits, share) {
  const order = byLikelihood(logits);
  const likely = weights(logits);
  let total = 0;
  for (const id of order) total += likely[id];
  let reached = 0;
  for (const id of order) {
    if (reached >= share * total) logits[id] = -Infinity;
    reached += likely[id];
  }
}

function keepMinP(logits, share) {
  const least = Math.fround(logits[largest(logits)] + Math.fround(Math.log(share)));
  for (let k = 0; k < logits.length; k++) if (logits[k] < least) logits[k] = -Infinity;
}
