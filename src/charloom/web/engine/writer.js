/** From drawn ids to text that may be shown: whole characters, cut at the length, nothing of a stop string. */

export class Writer {
  constructor(vocabulary, length, stop) {
    this.decoder = vocabulary.decoder();
    this.left = length; // code points
    this.stop = stop;
    this.held = "";
    this.reason = null; // "length", "stop" or "eos" once it has ended
  }

  /** The text that this id makes certain; `ended` tells that no more will come, and why. */
  feed(id, ended = null) {
    let text = this.held + this.decoder.feed(id);
    if (ended) text += this.decoder.flush();
    const characters = Array.from(text);
    if (characters.length >= this.left) {
      text = characters.slice(0, this.left).join("");
      ended = "length";
    }
    const found = this.stop.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length) {
      text = text.slice(0, Math.min(...found));
      ended = "stop";
    }
    const cut = text.length - (ended ? 0 : this.beginning(text));
    this.held = text.slice(cut);
    this.reason = ended;
    const piece = text.slice(0, cut);
    this.left -= Array.from(piece).length;
    return piece;
  }

  /** The length of the longest end of `text` with which a stop string begins. */
  beginning(text) {
    let size = Math.min(text.length, Math.max(1, ...this.stop.map((stop) => stop.length)) - 1);
    while (size > 0 && !this.stop.some((stop) => stop.startsWith(text.slice(-size)))) size--;
    return size;
  }
}
