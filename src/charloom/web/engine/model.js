/** A model that writes and judges. */

import { Beginning } from "./beginning.js";
import { failure } from "./errors.js";
import { Network } from "./network.js";
import { Sampler, logSoftmax, settings } from "./sampler.js";
import { readMetrics, readPrecision, readTensors } from "./tensors.js";
import { Vocabulary, normaliser } from "./vocabulary.js";
import { Writer } from "./writer.js";

const FORMAT = 1;
const FILES = { config: "config.json", vocabulary: "vocab.json", sampling: "generation.json" };

/** Whether files are read with Node's own calls; a window of Electron reads them as other browsers do. */
const NODE = Boolean(globalThis.process?.versions?.node) && globalThis.process.type !== "renderer";

/**
 * The model in a folder. `place` is a URL, as a string or an object, or a path: in Node of the file system,
 * relative to the working directory, in a browser relative to the page. Throws an Error where a file is
 * missing or damaged.
 */
export async function load(place) {
  const folder = await folderAt(place?.href ?? place);
  const read = async (name) => {
    const file = new URL(folder);
    file.pathname += name;
    return NODE && file.protocol === "file:" ? fromDisk(file, name, folder) : fetched(file, name, folder);
  };
  const parsed = async (name) => {
    const bytes = await read(name);
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw failure("no_json", { name, folder: String(folder) }, Error);
    }
  };
  const [weights, ...described] = await Promise.all([read("model.safetensors"), ...Object.values(FILES).map(parsed)]);
  const [config, vocabulary, sampling] = described;
  return new Model({ config, vocabulary, sampling, weights });
}

/** The folder's URL, which ends in "/". */
async function folderAt(place) {
  if (typeof place !== "string") throw failure("place", { value: String(place) }, TypeError);
  let url;
  if (/^(https?|file|blob|data):/i.test(place)) url = new URL(place);
  else if (NODE) url = (await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:url")).pathToFileURL(place);
  else url = new URL(place, globalThis.location?.href);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

async function fromDisk(file, name, folder) {
  const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
  try {
    return Uint8Array.from(await readFile(file)).buffer;
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw failure("missing_file", { name, folder: String(folder) }, Error);
  }
}

async function fetched(file, name, folder) {
  const response = await fetch(file).catch(() => {
    throw failure("unreachable_file", { name, folder: String(folder) }, Error);
  });
  if (response.ok) return response.arrayBuffer();
  throw failure("refused_file", { name, status: String(response.status), folder: String(folder) }, Error);
}

export class Model {
  /** From what the folder's files hold: three objects and an ArrayBuffer. Throws an Error for damaged ones. */
  constructor({ config, vocabulary, sampling, weights }) {
    if (!(config.format >= 1 && config.format <= FORMAT)) {
      throw failure("format", { format: String(config.format) }, Error);
    }
    this.config = config;
    this.sampling = sampling;
    this.metrics = readMetrics(weights);
    this.precision = readPrecision(weights);
    this.vocabulary = new Vocabulary(vocabulary);
    const { conditions = {} } = config;
    this.network = new Network(config.model, conditions, readTensors(weights), this.vocabulary.size);
    this.normalise = normaliser(config);
    this.beginning = new Beginning(conditions, this.vocabulary, (text) => this.encode(text), this.network);
  }

  /** The ids of a text in the form that the training text had. Throws a RangeError for a character that cannot be written. */
  encode(text) {
    if (typeof text !== "string") throw failure("text_type", { value: String(text) });
    return this.vocabulary.encode(this.normalise(text));
  }

  /**
   * The state before any text: {hidden, logits, ids}, after `<bos>`, if any, and after `source` and `<sep>`.
   * `condition` is a value or an object of values by name, as strong as `strength`; `initial` (layers *
   * parts * hidden numbers) replaces the state that it gives. Throws a RangeError.
   */
  begin(given) {
    return last(this.beginSteps(given));
  }

  /** `begin`, which pauses after each step so that a caller can do something else. */
  *beginSteps(given) {
    const { condition, strength, source, initial } = given ?? {};
    const start = initial ?? this.beginning.state(condition, settings({ strength }).strength);
    const state = { hidden: Float32Array.from(start), logits: new Float32Array(this.vocabulary.size), ids: [] };
    for (const id of this.beginning.ids(source ?? "")) {
      this.step(id, state);
      yield;
    }
    state.ids = []; // those of the text alone
    return state;
  }

  /** Whether something is read before a text, so that its first character is expected too. */
  get founded() {
    const { specials } = this.vocabulary;
    return "<bos>" in specials || "<sep>" in specials;
  }

  /** Read one id: `state` goes on in place. */
  step(id, state) {
    this.network.step(this.vocabulary.row(id), state.hidden, state.logits);
    state.ids.push(id);
  }

  /** A new state: `state` (the beginning, if left out) after reading `text`. Throws a RangeError. */
  prime(text, state) {
    const next = fork(state ?? this.begin());
    for (const id of this.encode(text ?? "")) this.step(id, next);
    if (!next.ids.length && !this.founded) throw failure("needs_prompt");
    return next;
  }

  /** The sampler of one text for options over the model's defaults. Throws a RangeError for a wrong one. */
  sampler(options, history = []) {
    return new Sampler(settings(options, this.sampling), this.vocabulary, history);
  }

  /**
   * New text after `prompt`, a piece at a time; returns why it ended: "length", "stop" or "eos".
   * Options are the sampler's, over the model's defaults; undefined and null mean the default. The text begins
   * as `begin` has it for `condition` and `source`, or goes on from `state`.
   */
  *stream(options) {
    const steps = this.streamSteps(options);
    for (;;) {
      const { value, done } = steps.next();
      if (done) return value;
      if (value) yield value;
    }
  }

  /** `stream`, which pauses after each step, with "" where the text is not certain yet. */
  *streamSteps(given) {
    const { prompt, condition, source, state, ...options } = given ?? {};
    if (state && ((condition !== undefined && condition !== null) || source)) throw failure("state_and_condition");
    const { length, stop, strength } = settings(options, this.sampling);
    const here = this.prime(prompt, state ?? this.begin({ condition, source, strength }));
    const sampler = this.sampler(options, here.ids);
    const writer = new Writer(this.vocabulary, length, stop);
    const eos = this.vocabulary.specials["<eos>"];
    while (!writer.reason) {
      const id = sampler.draw(here.logits);
      yield writer.feed(id, id === eos ? "eos" : null);
      if (!writer.reason) this.step(id, here);
    }
    return writer.reason;
  }

  /** The text of `stream` as a whole. */
  generate(options) {
    return Array.from(this.stream(options)).join("");
  }

  /** Nats of each id of `text` after `state`; NaN for a first one that nothing comes before. */
  score(text, state) {
    const here = fork(state ?? this.begin());
    const began = here.ids.length || this.founded;
    return this.encode(text).map((id, at) => {
      const nats = at || began ? this.surprise(id, here.logits) : NaN;
      this.step(id, here);
      return nats;
    });
  }

  /** Nats of `id` under the logits before it; a byte of a strange character is one of 256. */
  surprise(id, logits) {
    return (id < this.vocabulary.size ? 0 : Math.log(256)) - logSoftmax(logits)[this.vocabulary.row(id)];
  }
}

/** A copy that may go its own way. */
export function fork({ hidden, logits, ids }) {
  return { hidden: hidden.slice(), logits: logits.slice(), ids: ids.slice() };
}

/** What a generator returns at its end. */
function last(steps) {
  for (;;) {
    const { value, done } = steps.next();
    if (done) return value;
  }
}
