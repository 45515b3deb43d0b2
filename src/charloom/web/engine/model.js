/** A model that writes and judges. */

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
    this.network = new Network(config.model, readTensors(weights), this.vocabulary.size);
    this.normalise = normaliser(config);
  }

  /** The ids of a text in the form that the training text had. Throws a RangeError for a character that cannot be written. */
  encode(text) {
    return this.vocabulary.encode(this.normalise(text));
  }

  /**
   * The state before any text: {hidden, logits, ids}, after `<bos>` where there is one.
   * `initial` (layers * parts * hidden numbers) is the network's state before anything is read, zero if left out.
   */
  begin(initial = new Float32Array(this.network.stateSize)) {
    const state = { hidden: Float32Array.from(initial), logits: new Float32Array(this.vocabulary.size), ids: [] };
    const { "<bos>": bos } = this.vocabulary.specials;
    if (bos !== undefined) this.network.step(bos, state.hidden, state.logits);
    return state;
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
    if (!next.ids.length && this.vocabulary.specials["<bos>"] === undefined) {
      throw new RangeError("the model needs some text to begin with; write a letter or more");
    }
    return next;
  }

  /**
   * New text after `prompt`, a piece at a time; returns why it ended: "length", "stop" or "eos".
   * Options are the sampler's, over the model's defaults; `state` is read on from where it is given.
   */
  *stream({ prompt = "", state, ...options } = {}) {
    const asked = settings(options, this.sampling);
    const here = this.prime(prompt, state);
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
    const began = here.ids.length || this.vocabulary.specials["<bos>"] !== undefined;
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
