/** UTF-8 byte by byte; unlike the browser's own it lets lone surrogates through, as Python's side does. */

const REPLACEMENT = "\ufffd";

/** The bytes of a text. */
export function utf8(text) {
  const bytes = [];
  for (const character of text) {
    const point = character.codePointAt(0);
    const tail = (shift) => 0x80 | ((point >> shift) & 0x3f);
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), tail(0));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), tail(6), tail(0));
    else bytes.push(0xf0 | (point >> 18), tail(12), tail(6), tail(0));
  }
  return bytes;
}

export class Utf8Decoder {
  constructor() {
    this.point = 0;
    this.missing = 0;
    this.least = 0x80; // the range of the next continuation byte
    this.most = 0xbf;
  }

  /** The characters that this byte completes; what is no UTF-8 becomes U+FFFD. */
  feed(byte) {
    if (!this.missing) return this.begin(byte);
    if (byte < this.least || byte > this.most) return this.flush() + this.begin(byte);
    [this.least, this.most] = [0x80, 0xbf];
    this.point = (this.point << 6) | (byte & 0x3f);
    this.missing--;
    return this.missing ? "" : String.fromCodePoint(this.point);
  }

  /** An unfinished character, as U+FFFD. */
  flush() {
    const surrogate = this.missing === 1 && this.point >> 5 === 0x1b; // Python gives its two bytes up one by one
    const held = this.missing ? REPLACEMENT.repeat(surrogate ? 2 : 1) : "";
    this.missing = 0;
    [this.least, this.most] = [0x80, 0xbf];
    return held;
  }

  begin(byte) {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return REPLACEMENT;
    this.missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.point = byte & (0x3f >> this.missing);
    if (byte === 0xe0) this.least = 0xa0; // shorter forms exist
    if (byte === 0xf0) this.least = 0x90;
    if (byte === 0xf4) this.most = 0x8f; // beyond Unicode
    return "";
  }
}
