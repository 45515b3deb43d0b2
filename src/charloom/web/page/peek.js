/** A small card at a character that is pointed to or tapped: how likely it was, and what else might stand there. */

import { show } from "./chances.js";
import { $ } from "./elements.js";
import { number, percent, say, spoken } from "./languages.js";

const DWELL = 350; // milliseconds that the pointer rests on a character before its card comes
const GRACE = 400; // milliseconds to come from the character to its card
const SHOWN = 6;

export class Peek {
  constructor(page) {
    Object.assign(this, { page, card: $("peek"), waiting: undefined, leaving: undefined, wanted: null });
    this.controller = new AbortController();
    const { area } = page.editor;
    area.addEventListener("pointermove", (event) => this.rest(event));
    area.addEventListener("pointerleave", () => this.leave());
    area.addEventListener("click", (event) => this.tap(event));
    for (const name of ["keydown", "input"]) area.addEventListener(name, () => this.close());
    area.parentElement.addEventListener("scroll", () => this.close());
    addEventListener("resize", () => this.close());
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
    document.addEventListener("pointerdown", ({ target }) => this.card.contains(target) || this.close());
    this.card.onpointerenter = () => clearTimeout(this.leaving);
    this.card.onpointerleave = () => this.leave();
  }

  /** The pointer has moved: wait until it rests. */
  rest({ clientX, clientY, pointerType, buttons }) {
    clearTimeout(this.waiting);
    if (pointerType === "touch" || buttons) return;
    this.waiting = setTimeout(() => this.look(clientX, clientY), DWELL);
  }

  tap({ clientX, clientY, pointerType }) {
    if (pointerType !== "mouse") this.look(clientX, clientY);
  }

  leave() {
    clearTimeout(this.waiting);
    clearTimeout(this.leaving);
    this.leaving = setTimeout(() => this.close(), GRACE);
  }

  close() {
    clearTimeout(this.waiting);
    this.controller.abort();
    this.wanted = null;
    this.card.hidden = true;
  }

  /** Show the card of the character at a point of the window, if there is one. */
  async look(x, y) {
    const { editor, write, client } = this.page;
    const found = editor.characterAt(x, y);
    if (!found) return this.leave();
    clearTimeout(this.leaving);
    const asked = write.place(found.at);
    if (write.writing || !this.page.ready || this.wanted === found.at || !asked) return undefined;
    this.wanted = found.at;
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    try {
      const [logits, nats] = await Promise.all([
        client.ask("next", asked, { signal }),
        client.ask("score", { ...asked, n: found.at + 1 }, { signal }),
      ]);
      if (this.wanted === found.at && editor.text === asked.text) this.open(found, logits, nats[found.at]);
    } catch {
      if (!signal.aborted) this.close(); // a text that the model cannot read has no alternatives
    }
    return undefined;
  }

  open({ at, box }, logits, nats) {
    const { editor, about, write } = this.page;
    const tokens = about.vocabulary.ids;
    const actual = editor.characters[at];
    const values = { character: spoken(actual), share: percent(Math.exp(-nats)), bits: number(nats / Math.LN2, 1) };
    $("peek-told").textContent = say("peek", values);
    show($("peek-list"), logits, {
      tokens,
      temperature: 1,
      count: SHOWN,
      actual,
      choose: (chosen) => {
        this.close();
        write.goOn(at, chosen);
      },
    });
    this.card.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.card;
    const below = box.bottom + 6 + height <= innerHeight || box.top < height + 6;
    const left = Math.max(8, Math.min(box.left - 16, document.documentElement.clientWidth - width - 8));
    this.card.style.left = `${scrollX + left}px`; // of the page, not the window: a keyboard that opens scrolls it
    this.card.style.top = `${scrollY + (below ? box.bottom + 6 : box.top - height - 6)}px`;
  }
}
