/** The view "Look inside": the next character's distribution, surprise, and what colours the text. */

import { chances, show, spread } from "./chances.js";
import { $ } from "./elements.js";
import { Lookup } from "./client.js";
import { number, say, spoken } from "./languages.js";

const LESSON = [0.3, 0.8, 1, 1.3, 1.8]; // the temperatures that the lesson compares
const BARS = 12;
const MOST_BITS = 8; // a surprise that takes the deepest colour

export class Inside {
  constructor(page) {
    Object.assign(this, { page, logits: null, asked: null, nats: null });
    $("marks").append(
      ...LESSON.map((temperature) => {
        const button = document.createElement("button");
        button.value = temperature;
        button.onclick = () => page.heat(temperature);
        return button;
      }),
    );
    this.lookUp = new Lookup(
      page.client,
      "next",
      () => page.write.place(),
      (logits, asked) => {
        Object.assign(this, { logits, asked });
        this.showNext();
      },
    );
    this.score = new Lookup(
      page.client,
      "score",
      () => {
        const { text, characters } = page.editor;
        return text && !page.given.lacking ? { text, given: page.given.value, n: characters.length } : null;
      },
      (nats) => {
        this.nats = nats;
        this.showSurprise();
      },
    );
    for (const radio of document.getElementsByName("colour")) radio.onchange = () => this.colour(radio.value);
    $("sure").onchange = () => this.colour($("sure").checked ? "surprise" : "none");
  }

  get coloured() {
    return document.querySelector("[name=colour]:checked").value;
  }

  /** Colour the text by "none", "surprise" or "unit"; both views' controls say so. */
  colour(by) {
    document.querySelector(`[name=colour][value=${by}]`).checked = true;
    $("sure").checked = by === "surprise";
    $("scale").dataset.colour = by;
    this.page.refresh();
    if (by === "none") this.page.editor.colour([]);
  }

  /** The bars, as the temperature has them. */
  showNext() {
    const { editor, about, temperature } = this.page;
    const { text, n } = this.asked ?? { text: editor.text, n: editor.at };
    const characters = Array.from(text);
    const actual = characters[n];
    for (const button of $("marks").children) {
      button.textContent = number(Number(button.value), 1);
      button.ariaPressed = Number(button.value) === temperature;
    }
    $("next-here").textContent =
      actual === undefined ? say("next_end") : say("next_cursor", { character: spoken(actual) });
    if (!this.logits) {
      $("spread").textContent = "";
      return $("next").replaceChildren();
    }
    const tokens = about.vocabulary.ids;
    const logs = chances(this.logits, tokens, temperature);
    $("spread").textContent = say("spread", { count: number(spread(logs), 1) });
    return show($("next"), this.logits, {
      tokens,
      temperature,
      count: BARS,
      actual,
      choose: (character) => {
        // while the text of these bars is still the one that stands there
        if (!this.page.write.writing && editor.text === text) editor.set(characters.slice(0, n).join("") + character);
      },
    });
  }

  showSurprise() {
    const known = Array.from(this.nats ?? []).filter((nats) => !Number.isNaN(nats));
    const bits = known.reduce((sum, nats) => sum + nats, 0) / known.length / Math.LN2;
    $("bits").textContent = known.length ? number(bits, 3) : "–";
    if (this.coloured === "surprise") {
      this.page.editor.colour(Array.from(this.nats ?? [], (nats) => Math.min(1, nats / Math.LN2 / MOST_BITS)));
    }
  }
}
