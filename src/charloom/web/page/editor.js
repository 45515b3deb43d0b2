/** The text that all views share: typed or written, undone and redone, coloured from underneath. */

const MOST_COLOURED = 4000; // characters from the end: more spans than that make typing slow
const PAUSE = 1000; // milliseconds after which typing begins a new step of undo

export class Editor extends EventTarget {
  /** Fires "text" when the text changes, "cursor" when the cursor moves; what is typed is normalised. */
  constructor(area, tint, normalise) {
    super();
    Object.assign(this, { area, tint, normalise, past: [], future: [], began: 0, values: [], keys: [] });
    this.segmenter = new Intl.Segmenter();
    area.addEventListener("beforeinput", (event) => this.beforeTyping(event));
    area.addEventListener("input", (event) => this.typed(event));
    area.addEventListener("compositionend", (event) => this.typed(event));
    for (const name of ["keyup", "pointerup", "focus"]) area.addEventListener(name, () => this.look());
    area.addEventListener("keydown", (event) => this.shortcut(event));
    new ResizeObserver(() => this.grow()).observe(tint);
  }

  get text() {
    return this.area.value;
  }

  /** The text's code points. */
  get characters() {
    return Array.from(this.text);
  }

  /** The number of characters before the cursor. */
  get at() {
    return Array.from(this.text.slice(0, this.area.selectionStart)).length;
  }

  /**
   * The character that a point of the window lies on: {at, box}, the number of characters before it and its
   * rectangle; null for none. The letters are the text area's, but only those under them can be measured.
   */
  characterAt(x, y) {
    this.area.style.pointerEvents = "none";
    const place = document.caretPositionFromPoint?.(x, y);
    const range = place ? null : document.caretRangeFromPoint?.(x, y);
    this.area.style.pointerEvents = "";
    const [node, offset] = place ? [place.offsetNode, place.offset] : [range?.startContainer, range?.startOffset];
    if (node?.nodeType !== Node.TEXT_NODE || !this.tint.contains(node)) return null;
    const around = document.createRange();
    const segments = this.segmenter.segment(node.data);
    for (const near of [offset, offset - 1]) {
      const found = segments.containing(near);
      if (!found) continue;
      around.setStart(node, found.index);
      around.setEnd(node, found.index + found.segment.length);
      const box = Array.from(around.getClientRects()).find(
        ({ left, right, top, bottom }) => left <= x && x <= right && top <= y && y <= bottom,
      );
      if (!box) continue;
      around.setStart(this.tint, 0);
      around.setEnd(node, found.index);
      const at = Array.from(around.toString()).length;
      return at < this.characters.length ? { at, box } : null;
    }
    return null;
  }

  /** Replace the text; a step that can be undone, unless `step` is false. */
  set(text, step = true) {
    if (step) this.remember();
    this.area.value = text;
    this.area.setSelectionRange(text.length, text.length);
    this.changed();
  }

  /** Add to the end what the model wrote; the paper follows if its end was in sight. */
  append(piece) {
    const paper = this.area.parentElement;
    const follows = paper.scrollTop + paper.clientHeight > paper.scrollHeight - 40;
    this.set(this.text + piece, false);
    if (follows) paper.scrollTop = paper.scrollHeight;
  }

  /** Keep the text as it is now, to come back to. */
  remember() {
    this.past.push(this.text);
    this.future = [];
    this.began = 0;
  }

  undo() {
    this.swap(this.past, this.future);
  }

  redo() {
    this.swap(this.future, this.past);
  }

  swap(from, to) {
    if (!from.length || this.area.readOnly) return;
    to.push(this.text);
    this.began = 0;
    this.set(from.pop(), false);
  }

  /** Colour the text: a number a character, 1 warm, -1 cool, 0 or NaN not at all; none for []. */
  colour(values) {
    this.values = values;
    this.paint();
  }

  /** A block a line, made anew only where the line or its colours changed: so long texts stay quick. */
  paint() {
    const lines = this.text.split(/(?<=\n)/);
    if (lines.at(-1).endsWith("\n")) lines.push("");
    let at = 0;
    const keys = lines.map((line, n) => {
      const characters = Array.from(line);
      const start = Math.max(at, this.values.length ? this.values.length - MOST_COLOURED : Infinity);
      const values = this.values.slice(start, at + characters.length);
      const plain = characters.slice(0, start - at).join("");
      const coloured = values.length ? characters.slice(start - at, start - at + values.length).join("") : "";
      at += characters.length;
      const last = n === lines.length - 1;
      const key = [plain.length, last, line, ...values.map((value) => value.toFixed(2))].join();
      if (key !== this.keys[n]) {
        const block = document.createElement("div");
        block.append(plain, ...this.spans(coloured, values), line.slice(plain.length + coloured.length));
        if (last) block.append("\u200b"); // an empty line has height
        if (n < this.tint.children.length) this.tint.children[n].replaceWith(block);
        else this.tint.append(block);
      }
      return key;
    });
    while (this.tint.children.length > lines.length) this.tint.lastElementChild.remove();
    this.keys = keys;
    this.grow();
  }

  /** Each character of a line as one reads it, an emoji of several code points included, on its colour. */
  spans(line, values) {
    let at = 0;
    return Array.from(this.segmenter.segment(line), ({ segment }) => {
      const count = Array.from(segment).length;
      const own = values.slice(at, at + count);
      const span = document.createElement("span");
      span.className = own[0] < 0 ? "cool" : "warm";
      span.style.setProperty("--depth", (Math.max(0, ...own.map(Math.abs)) || 0).toFixed(2));
      span.textContent = segment;
      at += count;
      return span;
    });
  }

  /** The paper scrolls, not the text: so text and colours cannot come apart. */
  grow() {
    this.area.style.height = `${this.tint.getBoundingClientRect().height}px`;
  }

  changed() {
    this.paint();
    this.dispatchEvent(new Event("text"));
  }

  look() {
    if (this.last === this.at) return;
    this.last = this.at;
    this.dispatchEvent(new Event("cursor"));
  }

  beforeTyping(event) {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault(); // the browser's own history does not know what the model wrote
      return event.inputType === "historyUndo" ? this.undo() : this.redo();
    }
    if (event.timeStamp - this.began > PAUSE || !this.began) this.remember();
    this.began = event.timeStamp;
    return undefined;
  }

  /** Bring what was typed or pasted into the form that the model reads, the selection where it was. */
  typed({ isComposing }) {
    const { value, selectionStart, selectionEnd } = this.area;
    const text = isComposing ? value : this.normalise(value);
    if (text !== value) {
      const places = [selectionStart, selectionEnd].map((at) => this.normalise(value.slice(0, at)).length);
      this.area.value = text;
      this.area.setSelectionRange(...places);
    }
    this.changed();
  }

  shortcut(event) {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) this.redo();
    else this.undo();
  }
}
