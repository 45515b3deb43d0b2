/** The page: one model, one text, three views. */

import { normaliser } from "../engine/vocabulary.js";
import { About } from "./about.js";
import { Client } from "./client.js";
import { Editor } from "./editor.js";
import { $ } from "./elements.js";
import { Given } from "./given.js";
import { Inside } from "./inside.js";
import { LANGUAGES, PREFERRED, language, number, problem, speak, tell } from "./languages.js";
import { Peek } from "./peek.js";
import { source } from "./source.js";
import { Memory } from "./storage.js";
import { Units } from "./units.js";
import { Write } from "./write.js";

const VIEWS = ["write", "inside", "about"];
const SETTLE = 120; // milliseconds without a change after which what hangs on the text is looked up

class Page {
  /** `about` is the model as its source describes it. */
  constructor(about) {
    this.about = about;
    this.unfounded = !("<bos>" in about.config.specials || "<sep>" in about.config.specials); // it cannot begin by itself
    if (this.unfounded) $("text").dataset.placeholder = "needs_text";
    this.weights = null; // what is known of them once they are here
    this.ready = false;
    document.title = $("name").textContent = about.name;
    const share = (read) => {
      $("reading").value = read;
      $("reading").hidden = read === 1;
    };
    this.client = new Client($("worker").textContent, share);
    this.editor = new Editor($("text"), $("tint"), normaliser(about.config));
    this.given = new Given(this);
    this.write = new Write(this);
    this.inside = new Inside(this);
    this.units = new Units(this);
    this.card = new About(this);
    this.peek = new Peek(this);
    for (const slider of document.querySelectorAll(".temperature")) {
      slider.oninput = () => this.heat(slider.valueAsNumber);
    }
    this.lookups = [this.write.lookUp, this.inside.lookUp, this.units.lookUp, this.inside.score];
    this.editor.addEventListener("text", () => this.changed());
    this.editor.addEventListener("cursor", () => this.settle());
    this.makeTabs();
    this.status("loading");
    this.heat(about.sampling.temperature ?? 1);
    this.memory = new Memory(this);
    const chosen = language() !== PREFERRED; // before the model was known
    this.speak(chosen ? language() : (this.memory.language ?? PREFERRED));
    if (chosen) this.memory.language = language();
    $("language").onchange = () => {
      this.speak($("language").value);
      this.memory.language = language();
    };
    this.memory.restore();
    $("room").hidden = $("views").hidden = false;
    this.editor.grow();
  }

  /** The weights have come, as base64 or an ArrayBuffer: hand them to the model. */
  async open(weights) {
    const { config, vocabulary, sampling } = this.about;
    this.weights = await this.client.ask("open", { config, vocabulary, sampling, weights });
    this.ready = true;
    $("write").disabled = false;
    this.status("ready");
    this.card.show();
    this.refresh();
  }

  /** Every text of the page in this language. */
  speak(code) {
    speak(code);
    $("language").value = code;
    this.peek.close();
    this.heat(this.temperature);
    this.write.showAlternatives();
    this.inside.showSurprise();
    this.units.show();
    this.card.show();
    this.settle();
  }

  /** One temperature for both sliders, the bars and the writing. */
  heat(temperature) {
    this.temperature = temperature;
    for (const slider of document.querySelectorAll(".temperature")) {
      slider.value = temperature;
      slider.parentElement.querySelector("output").value = number(temperature, 2);
    }
    this.inside.showNext();
  }

  /** The text or what it belongs to has changed: what is asked about the old one is abandoned at once. */
  changed() {
    for (const lookup of this.lookups) lookup.supersede();
    this.settle();
  }

  settle() {
    const next = this.write.ended ? "write_another" : this.editor.text ? "write_on" : "write";
    if (!this.write.writing) tell($("write"), next);
    $("undo").disabled = this.write.writing || !this.editor.past.length;
    $("redo").disabled = this.write.writing || !this.editor.future.length;
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      this.refresh();
    }, SETTLE);
  }

  /** Look up what the view shows of the text, and nothing else. */
  refresh() {
    this.memory.save();
    if (!this.ready) return;
    const { view } = document.body.dataset;
    const { writing } = this.write;
    const wanted = {
      write: [!writing && this.write.lookUp],
      inside: [this.inside.lookUp, !writing && this.units.lookUp, this.inside.score],
      about: [],
    }[view];
    if (view === "write" && this.inside.coloured === "surprise") wanted.push(this.inside.score);
    for (const lookup of this.lookups) if (!wanted.includes(lookup)) lookup.abandon();
    for (const lookup of wanted) if (lookup) lookup.refresh();
  }

  status(name, values) {
    tell($("status"), name, values);
  }

  /** What the user should correct; nothing for "". */
  notice(name, values) {
    tell($("notice"), name, values);
    $("notice").hidden = !name;
  }

  copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      this.status("copied");
    } catch {
      this.notice("copy_failed");
    }
  };

  makeTabs() {
    for (const [n, view] of VIEWS.entries()) {
      const tab = $(`tab-${view}`);
      tab.onclick = () => this.turn(view);
      tab.onkeydown = (event) => {
        const last = VIEWS.length - 1;
        const to = { ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        this.turn(VIEWS[(to + VIEWS.length) % VIEWS.length]);
        $(`tab-${document.body.dataset.view}`).focus();
      };
    }
    this.turn(VIEWS[0]);
  }

  turn(view) {
    document.body.dataset.view = view;
    for (const each of VIEWS) {
      $(`view-${each}`).hidden = each !== view;
      $(`tab-${each}`).ariaSelected = each === view;
      $(`tab-${each}`).tabIndex = each === view ? 0 : -1;
    }
    this.editor.grow();
    this.settle();
  }
}

/** Choose the language, find the model, and start the page. */
async function begin() {
  $("language").append(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
  $("language").onchange = () => speak($("language").value);
  speak(language());
  $("language").value = language();
  let page;
  try {
    const from = source();
    page = new Page(await from.about());
    await page.open(await from.weights((share) => page.status("loading_share", { share: Math.round(100 * share) })));
  } catch (error) {
    const where = $(page ? "notice" : "trouble");
    tell(where, "failed", { message: problem(error) });
    where.hidden = false;
  }
}

begin();
