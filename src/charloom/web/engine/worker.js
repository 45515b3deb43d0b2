/**
 * The model in a Worker, so that the page never waits for it.
 *
 * Each message {job, ask, …} is answered by any number of {job, part} and one {job, result} or {job, error}.
 */

import { Model } from "./model.js";
import { Reader } from "./reader.js";

const SLICE = 12; // milliseconds of work after which other messages get their turn

let model;
let reader;
let begun; // as JSON, what the reader's texts begin with
let reading = Promise.resolve();
let sliceEnd = 0;
const stopped = new Set();

const ANSWERS = {
  /** Load the model, and tell what it is; `weights` is an ArrayBuffer, or base64 of one. */
  open({ config, vocabulary, sampling, weights }) {
    const buffer = typeof weights === "string" ? bytes(weights) : weights;
    model = new Model({ config, vocabulary, sampling, weights: buffer });
    const { metrics, precision, network } = model;
    return { metrics, precision, parameters: network.parameters, bytes: buffer.byteLength };
  },

  /** Write `variants` texts after `text` at once; a part is a piece for each, the result tells why each ended. */
  async write({ text, given, options, variants }, job) {
    const state = await read(text, given, () => reader.at(reader.characters.length));
    const streams = Array.from({ length: variants }, (_, stream) => model.stream({ ...options, stream, state }));
    const reasons = streams.map(() => "stopped");
    const running = new Set(streams.keys());
    let written = streams.map(() => "");
    const deliver = () => {
      postMessage({ job, part: written });
      written = streams.map(() => "");
    };
    while (running.size && !stopped.has(job)) {
      for (const variant of running) {
        const { value, done } = streams[variant].next();
        if (done) [reasons[variant]] = [value, running.delete(variant)];
        else written[variant] += value;
      }
      await breathe(deliver);
    }
    deliver();
    stopped.delete(job);
    return reasons;
  },

  /** End the writing of another job. */
  stop({ writing }) {
    stopped.add(writing);
  },

  /** Nats of each character of `text`. */
  score: ({ text, given }) => read(text, given, () => Float32Array.from(reader.nats)),

  /** Logits of what may come after the first `n` characters of `text`. */
  next: ({ text, given, n }) => read(text, given, () => reader.at(n).logits),

  /** Hidden units (characters - from, H) of `layer` after each character of `text` from number `from` on. */
  units: ({ text, given, layer, from }) =>
    read(text, given, () => {
      const { hidden, parts } = model.network;
      const count = reader.characters.length - from;
      const result = new Float32Array(count * hidden);
      const state = reader.at(from);
      for (let n = 0; n < count; n++) {
        for (const id of model.vocabulary.encode(reader.characters[from + n])) model.step(id, state);
        const start = layer * parts * hidden;
        result.set(state.hidden.subarray(start, start + hidden), n * hidden);
      }
      return result;
    }),
};

addEventListener("message", async ({ data: { job, ask, ...about } }) => {
  try {
    postMessage({ job, result: await ANSWERS[ask](about, job) });
  } catch (error) {
    postMessage({ job, error: error.message });
  }
});

/** Have the reader read `text` after what is `given`, one text at a time, then look at what it found. */
function read(text, given, look) {
  const mine = reading.then(async () => {
    if (JSON.stringify(given) !== begun) [reader, begun] = [new Reader(model, given), JSON.stringify(given)];
    for (const _ of reader.read(text)) await breathe();
    return look();
  });
  reading = mine.catch(() => {}); // whoever asked hears of it
  return mine;
}

/** Let other messages in when a slice of time is over. */
function breathe(before = () => {}) {
  if (performance.now() < sliceEnd) return undefined;
  before();
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel(); // a timer would wait four milliseconds
    port1.onmessage = () => {
      port1.close();
      sliceEnd = performance.now() + SLICE;
      resolve();
    };
    port2.postMessage(null);
  });
}

function bytes(base64) {
  const characters = atob(base64);
  const result = new Uint8Array(characters.length);
  for (let k = 0; k < characters.length; k++) result[k] = characters.charCodeAt(k);
  return result.buffer;
}
