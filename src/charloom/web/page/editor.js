/** The text that all views share: typed or written, undone and redone, coloured from underneath. */

const MOST_COLOURED = 4000; // characters from the end: more spans than that make typing slow
const PAUSE = 1000; // milliseconds after which typing begins a new step of undo

export class Editor extends EventTarget {
  /** Fires "text" when the text changes, "cursor" when the place looked at does; what is typed is normalised. */
  constructor(area, tint, normalise) {
    super();
    Object.assign(this, { area, tint, normalise, past: [], future: [], began: 0, values: [], keys: [], pointed: null });
    this.segmenter = new Intl.Segmenter();
    area.addEventListener("beforeinput", (event) => this.beforeTyping(event));
    area.addEventListener("input", (event) => this.typed(event));
    area.addEventListener("compositionend", (event) => this.typed(event));
    for (const name of ["keyup", "pointerup", "focus"]) area.addEventListener(name, () => this.look(null));
    area.addEventListener("keydown", (event) => this.shortcut(event));
    area.addEventListener("pointermove", (event) => this.hover(event));
    new ResizeObserver(() => this.grow()).observe(tint);
  }

  get text() {
    return this.area.value;
  }

  /** The text's code points. */
  get characters() {
    return Array.from(this.text);
  }

  /** The number of characters before the place looked at: pointed to, or the cursor. */
  get at() {
    return this.pointed ?? Array.from(this.text.slice(0, this.area.selectionStart)).length;
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
      const plain = characters.slice(0, start - at).join("");
      const values = this.values.slice(start, at + characters.length);
      at += characters.length;
      const last = n === lines.length - 1;
      const key = [start, last, line, ...values.map((value) => value.toFixed(2))].join();
      if (key !== this.keys[n]) {
        const block = document.createElement("div");
        block.append(plain, ...this.spans(line.slice(plain.length), values, start));
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
  spans(line, values, start) {
    let at = 0;
    return Array.from(this.segmenter.segment(line), ({ segment }) => {
      const count = Array.from(segment).length;
      const own = values.slice(at, at + count);
      const span = document.createElement("span");
      span.dataset.at = start + at;
      span.className = own[0] < 0 ? "cool" : "warm";
      span.style.setProperty("--depth", (Math.max(0, ...own.map(Math.abs)) || 0).toFixed(2));
      span.textContent = segment;
      at += count;
      return span;
    });
  }

  /** The paper scrolls, not the text: so text and colours cannot come apart. */
  grow() {
    this.area.style.height = `${this.tint.offsetHeight}px`;
  }

  changed() {
    this.pointed = null;
    this.paint();
    this.dispatchEvent(new Event("text"));
  }

  look(at) {
    if (at === null && this.pointed === null && this.last === this.at) return;
    this.pointed = at;
    this.last = this.at;
    this.dispatchEvent(new Event("cursor"));
  }

  hover({ clientX, clientY, pointerType }) {
    if (pointerType === "touch" || !this.values.length) return;
    const span = document.elementsFromPoint(clientX, clientY).find((element) => element.dataset.at);
    if (span && Number(span.dataset.at) !== this.pointed) this.look(Number(span.dataset.at));
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
