/** A model that writes and judges. */

import { Beginning } from "./beginning.js";
import { Network } from "./network.js";
import { Sampler, logSoftmax, settings } from "./sampler.js";
import { readMetrics, readPrecision, readTensors } from "./tensors.js";
import { Vocabulary, normaliser } from "./vocabulary.js";
import { Writer } from "./writer.js";

const FORMAT = 1;
const FILES = { config: "config.json", vocabulary: "vocab.json", sampling: "generation.json" };

/** The model in the folder at `url`. Throws an Error where a file is missing or damaged. */
export async function load(url) {
  const folder = new URL(url.endsWith("/") ? url : `${url}/`, globalThis.location?.href);
  const fetched = async (name) => {
    const response = await fetch(new URL(name, folder));
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}; is ${folder} a model folder?`);
    return response;
  };
  const [weights, ...described] = await Promise.all([
    fetched("model.safetensors").then((response) => response.arrayBuffer()),
    ...Object.values(FILES).map((name) => fetched(name).then((response) => response.json())),
  ]);
  const [config, vocabulary, sampling] = described;
  return new Model({ config, vocabulary, sampling, weights });
}

export class Model {
  /** From what the folder's files hold: three objects and an ArrayBuffer. Throws an Error for damaged ones. */
  constructor({ config, vocabulary, sampling, weights }) {
    if (!(config.format >= 1 && config.format <= FORMAT)) {
      throw new Error(`config.json: the format ${config.format} is not one that this page reads; export the model again`);
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
    return this.vocabulary.encode(this.normalise(text));
  }

  /**
   * The state before any text: {hidden, logits, ids}, after `<bos>`, if any, and after `source` and `<sep>`.
   * `condition` is a value or an object of values by name, as strong as `strength`; `initial` (layers *
   * parts * hidden numbers) takes the place of the state that it gives. Throws a RangeError.
   */
  begin({ condition, strength = 1, source = "", initial = this.beginning.state(condition, strength) } = {}) {
    const state = { hidden: Float32Array.from(initial), logits: new Float32Array(this.vocabulary.size), ids: [] };
    for (const id of this.beginning.ids(source)) this.step(id, state);
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
  prime(text = "", state = this.begin()) {
    const next = fork(state);
    for (const id of this.encode(text)) this.step(id, next);
    if (!next.ids.length && !this.founded) {
      throw new RangeError("the model needs some text to begin with; write a letter or more");
    }
    return next;
  }

  /**
   * New text after `prompt`, a piece at a time; returns why it ended: "length", "stop" or "eos".
   * Options are the sampler's, over the model's defaults. The text begins as `begin` has it for `condition`
   * and `source`, or goes on from `state`.
   */
  *stream({ prompt = "", condition, source, state, ...options } = {}) {
    const asked = settings(options, this.sampling);
    if (state && (condition !== undefined || source)) {
      throw new RangeError("a state has its condition and its source already; leave one of the two out");
    }
    const here = this.prime(prompt, state ?? this.begin({ condition, source, strength: asked.strength }));
    const sampler = new Sampler(asked, this.vocabulary, here.ids);
    const writer = new Writer(this.vocabulary, asked.length, asked.stop);
    const eos = this.vocabulary.specials["<eos>"];
    while (!writer.reason) {
      const id = sampler.draw(here.logits);
      const piece = writer.feed(id, id === eos ? "eos" : null);
      if (piece) yield piece;
      if (!writer.reason) this.step(id, here);
    }
    return writer.reason;
  }

  /** The text of `stream` as a whole. */
  generate(options = {}) {
    return Array.from(this.stream(options)).join("");
  }

  /** Nats of each id of `text` after `state`; NaN for a first one that nothing comes before. */
  score(text, state = this.begin()) {
    const here = fork(state);
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
