/** A text as the model reads it. Where its end changes, only the end is read again. */

import { fork } from "./model.js";

const EVERY = 32; // characters between stored states: a state costs as much memory as a few hundred characters

export class Reader {
  /** For texts that follow `state`, one of the model's `begin`. */
  constructor(model, state) {
    this.model = model;
    this.characters = []; // code points
    this.nats = []; // of each that has been read; NaN for a first one that nothing comes before
    this.states = [state]; // after 0, EVERY, 2 * EVERY, … characters
  }

  /** Read the first `count` characters of a text; pauses after each, and may be abandoned there. */
  *read(characters, count) {
    let same = 0;
    while (same < this.nats.length && this.characters[same] === characters[same]) same++;
    this.characters = characters;
    this.nats.length = same;
    this.states.length = Math.min(this.states.length, Math.floor(same / EVERY) + 1);
    if (same >= count) return;
    const state = this.at(same);
    let known = same > 0 || this.model.founded; // whether something comes before the next id
    while (this.nats.length < count) {
      const at = this.nats.length;
      let nats = 0;
      for (const id of this.model.vocabulary.encode(characters[at])) {
        nats += known ? this.model.surprise(id, state.logits) : NaN;
        this.model.step(id, state);
        known = true;
      }
      this.nats.push(nats);
      if ((at + 1) % EVERY === 0) this.states.push({ ...fork(state), ids: [] });
      yield;
    }
  }

  /** The state after the first `n` characters, which have been read; without the ids before it. */
  at(n) {
    const start = Math.floor(n / EVERY);
    const state = { ...fork(this.states[start]), ids: [] };
    for (const id of this.model.vocabulary.encode(this.characters.slice(start * EVERY, n).join(""))) {
      this.model.step(id, state);
    }
    return state;
  }
}
