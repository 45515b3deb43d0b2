/**
 * Characters to ids and back. A character outside the vocabulary is written as its UTF-8 bytes: byte b has
 * the virtual id size + b, and all virtual ids share the row `<byte>`. In unit "byte" the id is the byte.
 */

import { failure } from "./errors.js";
import { Utf8Decoder, utf8 } from "./utf8.js";

/** What brings a text into the form that the training text had: NFC and lines that end in "\n", or as it is. */
export function normaliser({ unit, provenance = {} }) {
  if (unit !== "char" || provenance.normalize !== "nfc") return (text) => text;
  return (text) => text.replace(/\r\n?/g, "\n").normalize("NFC");
}

export class Vocabulary {
  /** From vocab.json. */
  constructor({ unit, ids }) {
    this.unit = unit;
    this.size = ids.length;
    this.tokens = ids; // a character, {byte} or {special}
    this.specials = {};
    this.table = new Map();
    ids.forEach((token, id) => {
      if (token.special) this.specials[token.special] = id;
      else if (unit === "char") this.table.set(token, id);
    });
  }

  /** The ids of a text. Throws a RangeError for a character that cannot be written. */
  encode(text) {
    if (this.unit === "byte") return utf8(text);
    const ids = [];
    for (const character of text) {
      const id = this.table.get(character);
      if (id !== undefined) ids.push(id);
      else if (this.specials["<byte>"] === undefined) {
        throw failure("unknown_character", { character: JSON.stringify(character) });
      } else for (const byte of utf8(character)) ids.push(this.size + byte);
    }
    return ids;
  }

  /** Whether a character has an id of its own, or in unit "byte" bytes of its own. */
  knows(character) {
    return this.unit === "byte" || this.table.has(character);
  }

  /** The row of the network for an id. */
  row(id) {
    return id < this.size ? id : this.specials["<byte>"];
  }

  /** A decoder for ids that arrive one by one. */
  decoder() {
    return new Decoder(this);
  }
}

class Decoder {
  constructor(vocabulary) {
    this.vocabulary = vocabulary;
    this.utf8 = new Utf8Decoder();
  }

  /** The text that is certain once this id has come: a character is never given in halves. */
  feed(id) {
    const { tokens, size, unit } = this.vocabulary;
    if (id >= size) return this.utf8.feed(id - size);
    if (tokens[id].special) return this.flush();
    return unit === "byte" ? this.utf8.feed(id) : this.flush() + tokens[id];
  }

  /** What was held back, as U+FFFD. */
  flush() {
    return this.utf8.flush();
  }
}
