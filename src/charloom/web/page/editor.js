/** The text that all views share: typed or written, undone and redone, coloured from underneath. */

const MOST_COLOURED = 4000; // characters from the end: more spans than that make typing slow
const PAUSE = 1000; // milliseconds after which typing begins a new step of undo

export class Editor extends EventTarget {
  /** Fires "text" when the text changes, "cursor" when the place looked at does. */
  constructor(area, tint) {
    super();
    Object.assign(this, { area, tint, past: [], future: [], typed: 0, values: [], pointed: null });
    this.segmenter = new Intl.Segmenter();
    area.addEventListener("beforeinput", (event) => this.beforeTyping(event));
    area.addEventListener("input", () => this.changed());
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
    this.typed = 0;
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
    this.typed = 0;
    this.set(from.pop(), false);
  }

  /** Colour the text: a number a character, 1 warm, -1 cool, 0 or NaN not at all; none for []. */
  colour(values) {
    this.values = values;
    this.paint();
  }

  paint() {
    const characters = this.values.length ? this.characters : [];
    const from = Math.max(0, characters.length - MOST_COLOURED);
    const nodes = [characters.slice(0, from).join("")];
    let at = from;
    for (const { segment } of this.segmenter.segment(characters.slice(from).join(""))) {
      const count = Array.from(segment).length;
      const value = Math.max(...this.values.slice(at, at + count).map(Math.abs)) || 0;
      const span = document.createElement("span");
      span.dataset.at = at;
      span.className = this.values[at] < 0 ? "cool" : "warm";
      span.style.setProperty("--depth", value.toFixed(2));
      span.textContent = segment;
      nodes.push(span);
      at += count;
    }
    this.tint.replaceChildren(...(this.values.length ? nodes : [this.text]), "\u200b"); // a last empty line has height
    this.grow();
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
    if (event.timeStamp - this.typed > PAUSE || !this.typed) this.remember();
    this.typed = event.timeStamp;
    return undefined;
  }

  shortcut(event) {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) this.redo();
    else this.undo();
  }
}
