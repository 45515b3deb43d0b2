/**
 * The model in a Worker, so that the page never waits for it.
 *
 * Each message {job, ask, …} is answered by any number of {job, part} and one {job, result} or {job, error}.
 * {job, ask: "abandon"} ends a job early: its error is then of no interest, and a text that it was writing ends.
 * Messages {share} say how much of a long text has been read.
 */

import { Model } from "./model.js";
import { Reader } from "./reader.js";
import { failure } from "./errors.js";

const SLICE = 12; // milliseconds of work after which other messages get their turn
const LONG = 400; // milliseconds of reading after which its share is reported

let model;
let reader;
let given; // as JSON, what comes before the reader's texts
let reading = Promise.resolve();
let sliceEnd = 0;
const controllers = new Map(); // of the jobs under way

const ANSWERS = {
  /** Load the model, and describe it; `weights` is an ArrayBuffer, or base64 of one. */
  open({ config, vocabulary, sampling, weights }) {
    const buffer = typeof weights === "string" ? bytes(weights) : weights;
    model = new Model({ config, vocabulary, sampling, weights: buffer });
    const { metrics, precision, network } = model;
    return { metrics, precision, parameters: network.parameters, bytes: buffer.byteLength };
  },

  /** Write `variants` texts after `text` at once; a part is a piece for each, the result tells why each ended. */
  async write({ options, variants, ...asked }, signal, job) {
    model.sampler(options); // a wrong option is refused before a long text is read
    const reasons = new Array(variants).fill("stopped");
    let state;
    try {
      state = await read(asked, signal, () => reader.at(reader.characters.length));
    } catch (error) {
      if (signal.aborted) return reasons;
      throw error;
    }
    state.ids = model.encode(asked.text);
    const streams = reasons.map((_, stream) => model.streamSteps({ ...options, stream, state }));
    const running = new Set(streams.keys());
    let written = reasons.map(() => "");
    const deliver = () => {
      postMessage({ job, part: written });
      written = reasons.map(() => "");
    };
    while (running.size && !signal.aborted) {
      for (const variant of running) {
        const { value, done } = streams[variant].next();
        if (done) [reasons[variant]] = [value, running.delete(variant)];
        else written[variant] += value;
        await breathe(deliver);
        if (signal.aborted) break;
      }
    }
    deliver();
    return reasons;
  },

  /** Nats of the first `n` characters of `text`. */
  score: (asked, signal) => read(asked, signal, () => Float32Array.from(reader.nats.slice(0, asked.n))),

  /** Logits of what may come after the first `n` characters of `text`. */
  next: (asked, signal) => read(asked, signal, () => reader.at(asked.n).logits),

  /** Hidden units (n - from, H) of `layer` after each of the first `n` characters of `text` from number `from` on. */
  units: ({ layer, from, ...asked }, signal) =>
    read(asked, signal, async (pause) => {
      const { hidden, parts } = model.network;
      const count = asked.n - from;
      const result = new Float32Array(count * hidden);
      const state = reader.at(from);
      for (let n = 0; n < count; n++) {
        for (const id of model.vocabulary.encode(reader.characters[from + n])) model.step(id, state);
        const start = layer * parts * hidden;
        result.set(state.hidden.subarray(start, start + hidden), n * hidden);
        await pause();
      }
      return result;
    }),
};

addEventListener("message", async ({ data: { job, ask, ...about } }) => {
  if (ask === "abandon") return controllers.get(job)?.abort();
  const controller = new AbortController();
  controllers.set(job, controller);
  try {
    postMessage({ job, result: await ANSWERS[ask](about, controller.signal, job) });
  } catch ({ message, code, values }) {
    postMessage({ job, error: { message, code, values } });
  }
  return controllers.delete(job);
});

/**
 * Read the first `n` characters of `text` (all, if left out) after what `asked.given` says, one text at a time, then
 * return what `look` finds. Throws as soon as the signal is aborted; what has been read until then stays read.
 */
function read(asked, signal, look) {
  const mine = reading.then(async () => {
    signal.throwIfAborted();
    const long = performance.now() + LONG;
    let share = () => 0;
    let shown = false;
    const report = () => {
      if (performance.now() < long) return;
      postMessage({ share: share() });
      shown = true;
    };
    const pause = () => breathe(report)?.then(() => signal.throwIfAborted());
    try {
      const key = JSON.stringify(asked.given);
      if (key !== given) {
        const steps = model.beginSteps(asked.given);
        let step = steps.next();
        for (; !step.done; step = steps.next()) await pause();
        [reader, given] = [new Reader(model, step.value), key];
      }
      const characters = Array.from(asked.text);
      const { n = characters.length } = asked;
      share = () => reader.nats.length / n;
      for (const _ of reader.read(characters, n)) await pause();
      return await look(pause);
    } finally {
      if (shown) postMessage({ share: 1 });
    }
  });
  reading = mine.catch(() => {}); // whoever asked gets the error
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
  let characters;
  try {
    characters = atob(base64);
  } catch {
    throw failure("cut", {}, Error);
  }
  const result = new Uint8Array(characters.length);
  for (let k = 0; k < characters.length; k++) result[k] = characters.charCodeAt(k);
  return result.buffer;
}
