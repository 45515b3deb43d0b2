/** The page: one model, one text, three views. */

import { normaliser } from "../engine/vocabulary.js";
import { About } from "./about.js";
import { Client } from "./client.js";
import { Editor } from "./editor.js";
import { $ } from "./elements.js";
import { Given } from "./given.js";
import { Inside } from "./inside.js";
import { keep, kept } from "./kept.js";
import { LANGUAGES, language, number, percent, say, speak } from "./languages.js";
import { Peek } from "./peek.js";
import { source } from "./source.js";
import { Units } from "./units.js";
import { Write } from "./write.js";

const VIEWS = ["write", "inside", "about"];
const TEXT = "charloom-text";
const SETTLE = 120; // milliseconds without a change after which what hangs on the text is looked up

class Page {
  /** `about` is the model as its source describes it. */
  constructor(about) {
    this.about = about;
    this.unfounded = !("<bos>" in about.config.specials || "<sep>" in about.config.specials); // it cannot begin by itself
    if (this.unfounded) $("text").dataset.placeholder = "needs_text";
    this.weights = null; // what is known of them once they are here
    this.ready = false;
    this.said = ["loading", {}];
    document.title = $("name").textContent = about.name;
    const share = (read) => {
      $("reading").value = read;
      $("reading").hidden = read === 1;
    };
    this.client = new Client($("worker").textContent, () => this.notice(say("no_worker")), share);
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
    this.editor.addEventListener("text", () => this.settle());
    this.editor.addEventListener("cursor", () => this.settle());
    this.editor.addEventListener("text", () => keep(TEXT, this.editor.text));
    this.editor.set(kept(TEXT) ?? "", false);
    this.makeTabs();
    this.temperature = about.sampling.temperature ?? 1;
    $("language").onchange = () => this.speak($("language").value);
    this.speak(language());
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
    this.status(...this.said);
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

  settle() {
    const next = this.write.ended ? "write_another" : this.editor.text ? "write_on" : "write";
    if (!this.write.writing) $("write").textContent = say(next);
    $("undo").disabled = this.write.writing || !this.editor.past.length;
    $("redo").disabled = this.write.writing || !this.editor.future.length;
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      this.refresh();
    }, SETTLE);
  }

  /** Look up what the view shows of the text. */
  refresh() {
    if (!this.ready) return;
    const view = document.body.dataset.view;
    if (view === "inside") {
      this.inside.lookUp();
      if (!this.write.writing) this.units.lookUp();
    } else if (!this.write.writing) this.write.lookUp();
    if (view === "inside" || this.inside.coloured === "surprise") this.inside.score();
  }

  status(name, values = {}) {
    this.said = [name, values];
    $("status").textContent = say(name, values);
  }

  /** What the user should mend; nothing to say for "". */
  notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
  }

  copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      this.status("copied");
    } catch {
      this.notice(say("copy_failed"));
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

/** Speak, find the model, and let the page begin. */
async function begin() {
  $("language").append(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
  $("language").onchange = () => speak($("language").value);
  speak(language());
  $("language").value = language();
  let page;
  try {
    const from = source();
    page = new Page(await from.about());
    await page.open(await from.weights((share) => page.status("loading_share", { share: percent(share) })));
  } catch (error) {
    const where = $(page ? "notice" : "trouble");
    where.textContent = say("failed", error);
    where.hidden = false;
  }
}

begin();
