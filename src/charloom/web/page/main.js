/** The page: one model, one text, three views. */

import { About } from "./about.js";
import { Client } from "./client.js";
import { Editor } from "./editor.js";
import { $ } from "./elements.js";
import { Inside } from "./inside.js";
import { LANGUAGES, language, number, say, speak } from "./languages.js";
import { Units } from "./units.js";
import { Write } from "./write.js";

const VIEWS = ["write", "inside", "about"];
const SETTLE = 120; // milliseconds without a change after which what hangs on the text is looked up

class Page {
  constructor() {
    this.about = JSON.parse($("about").textContent);
    this.unfounded = !("<bos>" in this.about.config.specials); // such a model cannot begin by itself
    this.metrics = {};
    this.ready = false;
    this.said = ["loading", {}];
    document.title = $("name").textContent = this.about.name;
    this.client = new Client($("worker").textContent, () => this.notice(say("no_worker")));
    this.editor = new Editor($("text"), $("tint"));
    this.write = new Write(this);
    this.inside = new Inside(this);
    this.units = new Units(this);
    this.card = new About(this);
    for (const slider of document.querySelectorAll(".temperature")) {
      slider.oninput = () => this.heat(slider.valueAsNumber);
    }
    this.editor.addEventListener("text", () => this.settle());
    this.editor.addEventListener("cursor", () => this.settle());
    this.makeTabs();
    $("language").append(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
    $("language").onchange = () => this.speak($("language").value);
    this.temperature = this.about.sampling.temperature ?? 1;
    this.speak(language());
    this.open();
  }

  async open() {
    const { config, vocabulary, sampling } = this.about;
    const weights = $("weights").textContent;
    $("weights").remove(); // megabytes that nothing reads again
    try {
      const { metrics } = await this.client.ask("open", { config, vocabulary, sampling, weights });
      Object.assign(this, { metrics, ready: true });
      $("write").disabled = false;
      this.status("ready");
      this.card.show();
      this.refresh();
    } catch (error) {
      this.notice(say("failed", error));
    }
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

new Page();
