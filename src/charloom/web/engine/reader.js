/** A text as the model reads it, remembered: when its end changes, only that is read again. */

import { fork } from "./model.js";

const EVERY = 32; // characters between kept states: a state costs as much memory as a few hundred characters

export class Reader {
  /** For texts that begin as the model's `begin(given)`, of which `given` must be one that it takes. */
  constructor(model, given) {
    this.model = model;
    this.characters = []; // code points
    this.nats = []; // of each; NaN for a first one that nothing comes before
    this.states = [model.begin(given)]; // after 0, EVERY, 2 * EVERY, … characters
  }

  /** Read a text, yielding after each character, so that whoever asks may breathe. */
  *read(text) {
    const characters = Array.from(text);
    let same = 0;
    while (same < this.nats.length && this.characters[same] === characters[same]) same++;
    this.characters = characters;
    this.nats.length = same;
    this.states.length = Math.min(this.states.length, Math.floor(same / EVERY) + 1);
    const state = this.at(same);
    const { founded } = this.model;
    while (this.nats.length < characters.length) {
      const at = this.nats.length;
      let nats = 0;
      for (const id of this.model.vocabulary.encode(characters[at])) {
        nats += !founded && !state.ids.length ? NaN : this.model.surprise(id, state.logits);
        this.model.step(id, state);
      }
      this.nats.push(nats);
      if ((at + 1) % EVERY === 0) this.states.push({ ...fork(state), ids: [] });
      yield;
    }
  }

  /** The state after the first `n` characters, which `read` has come to. */
  at(n) {
    const start = Math.floor(n / EVERY);
    const ids = this.model.vocabulary.encode(this.characters.slice(0, n).join(""));
    const state = { ...fork(this.states[start]), ids: [] };
    for (const id of this.model.vocabulary.encode(this.characters.slice(start * EVERY, n).join(""))) {
      this.model.step(id, state);
    }
    return { ...state, ids };
  }
}
