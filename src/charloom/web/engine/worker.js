/**
 * The model in a Worker, so that the page never waits for it.
 *
 * Each message {job, ask, …} is answered by any number of {job, part} and one {job, result} or {job, error}.
 * Between them {share} tells how much of a long text has been read.
 */

import { Model } from "./model.js";
import { Reader } from "./reader.js";

const SLICE = 12; // milliseconds of work after which other messages get their turn
const LONG = 400; // milliseconds of reading after which the page hears how far it has come

let model;
let reader;
let begun; // as JSON, what the reader's texts begin with
let reading = Promise.resolve();
let sliceEnd = 0;
const stops = new Map(); // of the jobs that write, what ends them

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
    let stopped = false;
    const stop = new Promise((resolve) => stops.set(job, () => resolve((stopped = true))));
    const state = await Promise.race([read(text, given, () => reader.at(reader.characters.length)), stop]);
    const reasons = new Array(variants).fill("stopped");
    const streams = stopped ? [] : reasons.map((_, stream) => model.stream({ ...options, stream, state }));
    const running = new Set(streams.keys());
    let written = reasons.map(() => "");
    const deliver = () => {
      postMessage({ job, part: written });
      written = reasons.map(() => "");
    };
    while (running.size && !stopped) {
      for (const variant of running) {
        const { value, done } = streams[variant].next();
        if (done) [reasons[variant]] = [value, running.delete(variant)];
        else written[variant] += value;
      }
      await breathe(deliver);
    }
    deliver();
    stops.delete(job);
    return reasons;
  },

  /** End the writing of another job, be it that its text is still being read. */
  stop({ writing }) {
    stops.get(writing)?.();
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
    const tell = () => performance.now() > long && postMessage({ share: reader.nats.length / reader.characters.length });
    const long = performance.now() + LONG;
    for (const _ of reader.read(text)) await breathe(tell);
    if (performance.now() > long) postMessage({ share: 1 });
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
