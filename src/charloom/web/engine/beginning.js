/** Where a text begins: the state that a condition gives, and the ids that are read before the text. */

import { failure } from "./errors.js";

const LISTED = 12; // values that a message names

export class Beginning {
  /** From config.json's "conditions", the vocabulary, what encodes a source, and the network. */
  constructor(conditions, vocabulary, encode, network) {
    Object.assign(this, { conditions, vocabulary, encode, network });
  }

  /**
   * The network's state (layers * parts * hidden) for a condition: one value, or an object of values by name;
   * what is not named is unknown and adds nothing. Times `strength`, which is 1 in training. Throws a
   * RangeError for what the model does not know.
   */
  state(asked, strength = 1) {
    const state = new Float32Array(this.network.stateSize);
    for (const [name, value] of named(Object.keys(this.conditions), asked)) {
      if (value === undefined || value === null) continue;
      this.network.add(name, vector(name, this.conditions[name], value), state);
    }
    return state.map((each) => each * strength);
  }

  /** What is read before a text: `<bos>`, and a source with its `<sep>`. Throws a RangeError. */
  ids(source) {
    const { "<bos>": bos, "<sep>": sep } = this.vocabulary.specials;
    const before = bos === undefined ? [] : [bos];
    if (sep === undefined) {
      if (source) throw failure("no_translation");
      return before;
    }
    if (!source) throw failure("source_missing");
    return [...before, ...this.encode(source), sep];
  }
}

/** Pairs of the conditions asked for and their values. */
function named(names, asked) {
  if (asked === undefined || asked === null) return [];
  const single = typeof asked !== "object" || Array.isArray(asked) || ArrayBuffer.isView(asked);
  const some = single || Object.keys(asked).length > 0;
  if (some && !names.length) throw failure("no_conditions");
  if (single && names.length > 1) {
    throw failure("which_condition", { value: String(asked), names: names.join(", "), first: names[0] });
  }
  const pairs = single ? [[names[0], asked]] : Object.entries(asked);
  for (const [name] of pairs) {
    if (!names.includes(name)) throw failure("unknown_condition", { name, names: names.join(", ") });
  }
  return pairs;
}

/** What the linear map multiplies: a label one-hot, an array's values less their mean by their deviation. */
function vector(name, { kind, values, size, mean, deviation }, value) {
  if (kind === "label") {
    const place = values.indexOf(String(value));
    if (place >= 0) return Float32Array.from(values, (_, k) => Number(k === place));
    const listed = values.slice(0, LISTED).join(", ") + (values.length > LISTED ? ", …" : "");
    throw failure("unknown_label", { name, value: JSON.stringify(String(value)), listed });
  }
  const numbers = Array.from(Object(value)).flat(Infinity).map(Number);
  if (numbers.length !== size) throw failure("array_size", { name, count: numbers.length, size });
  if (!numbers.every(Number.isFinite)) throw failure("array_number", { name });
  return Float32Array.from(numbers, (number) => (number - mean) / deviation);
}
