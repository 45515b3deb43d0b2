/** The view "Write": settings, go and stop, variants side by side, alternatives at the cursor. */

import { show } from "./chances.js";
import { $ } from "./elements.js";
import { Lookup } from "./client.js";
import { problem, say, spoken, translate } from "./languages.js";
import { mistake } from "./numbers.js";

const NUMBERS = ["length", "seed", "top_k", "top_p", "min_p", "no_repeat", "frequency_penalty", "presence_penalty"];
const DEFAULTS = { length: 300, top_k: 0, top_p: 1, min_p: 0, no_repeat: 0, frequency_penalty: 0, presence_penalty: 0 };
const ALTERNATIVES = 8;

export class Write {
  constructor(page) {
    Object.assign(this, { page, controller: null, logits: null, asked: null, start: "", left: "", over: false, reasons: [] });
    for (const name in DEFAULTS) {
      const value = page.about.sampling[name] ?? DEFAULTS[name];
      const input = $(name);
      Object.assign(input, { min: Math.min(input.min, value), max: Math.max(input.max, value), value });
    }
    $("ends").hidden = !("<eos>" in page.about.config.specials);
    $("write").onclick = () => this.write();
    $("stop").onclick = () => this.stop();
    $("undo").onclick = () => page.editor.undo();
    $("redo").onclick = () => page.editor.redo();
    $("copy").onclick = () => page.copy(page.editor.text);
    $("clear").onclick = () => page.editor.set("");
    $("ignore_eos").onchange = () => page.settle();
    $("fixed").onchange = () => {
      document.body.toggleAttribute("data-fixed", $("fixed").checked);
      page.editor.grow();
    };
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.stop();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && document.body.dataset.view !== "about") this.write();
    });
    this.lookUp = new Lookup(
      page.client,
      "next",
      () => this.place(),
      (logits, asked) => {
        Object.assign(this, { logits, asked });
        this.showAlternatives();
      },
    );
  }

  get writing() {
    return this.controller !== null;
  }

  /** Whether the text is one that the model has ended: then there is nothing to write on. */
  get ended() {
    return this.over && this.page.editor.text === this.left && !$("ignore_eos").checked;
  }

  /** What the model is asked about a place in the text; null where it has nothing to go by. */
  place(at = this.page.editor.at) {
    const { editor, given, unfounded } = this.page;
    return given.lacking || (unfounded && at === 0) ? null : { text: editor.text, given: given.value, n: at };
  }

  /** Put a character in the place of what comes from `at` on, and write on from it. */
  goOn(at, character) {
    if (this.writing) return;
    const { editor } = this.page;
    editor.set(editor.characters.slice(0, at).join("") + character);
    this.write();
  }

  /** The options as the engine takes them; null, and said so, where a number is out of its range. */
  options() {
    const options = { temperature: this.page.temperature, ignore_eos: $("ignore_eos").checked };
    for (const name of NUMBERS) options[name] = this.checked(name);
    if (Object.values(options).includes(null)) return null;
    if ($("halt").value) options.stop = [$("halt").value];
    return { ...options, ban: $("ban").value, only: $("only").value };
  }

  checked(id) {
    const input = $(id);
    const wrong = mistake(input);
    if (!wrong) return input.valueAsNumber;
    this.page.notice(...wrong);
    input.closest("details")?.setAttribute("open", "");
    input.focus();
    return null;
  }

  async write() {
    const { page } = this;
    const { editor } = page;
    if (this.writing || !page.ready) return;
    page.notice("");
    if (page.given.lacking) return page.notice(...page.given.lacking);
    if (!editor.text && page.unfounded) return page.notice("needs_text"), editor.area.focus();
    const options = this.options();
    const variants = this.checked("count");
    if (!options || variants === null) return;
    if (editor.text !== this.left) this.start = editor.text;
    if (this.ended) editor.set(this.start); // another text, after the same beginning
    else if (variants === 1) editor.remember();
    const texts = variants > 1 ? this.showVariants(variants) : null;
    if (!texts) $("variants").replaceChildren();
    const began = performance.now();
    let count = 0;
    const onPart = (pieces) => {
      count += Array.from(pieces.join("")).length;
      if (texts) pieces.forEach((piece, variant) => texts[variant].append(piece));
      else editor.append(pieces[0]);
    };
    const { signal } = (this.controller = new AbortController());
    this.busy(true);
    try {
      const asked = { text: editor.text, given: page.given.value, options, variants };
      const ended = await page.client.ask("write", asked, { onPart, signal });
      const rate = Math.round(count / ((performance.now() - began) / 1000));
      const nothing = count === 0 && ended.includes("eos");
      if (nothing) this.start = "";
      this.reasons = ended;
      if (!texts) this.leave(ended[0]);
      const name = nothing ? "wrote_nothing" : ended.includes("eos") ? "wrote_eos" : "wrote";
      page.status(name, { count, rate, seed: String(options.seed) });
      if (!$("keep").checked) $("seed").value = (options.seed + 1) % 2 ** 32;
    } catch (error) {
      page.notice("failed", { message: problem(error) });
      page.status("ready");
    }
    this.controller = null;
    this.busy(false);
  }

  /** The text is now as the model left it, for this reason. */
  leave(reason) {
    Object.assign(this, { left: this.page.editor.text, over: reason === "eos" });
    this.page.settle();
  }

  stop() {
    this.controller?.abort();
  }

  /** While the model writes, Stop stands in the place of Write, with its focus, and nobody else writes. */
  busy(is) {
    const [from, to] = is ? [$("write"), $("stop")] : [$("stop"), $("write")];
    const focused = document.activeElement === from;
    [from.hidden, to.hidden] = [true, false];
    if (focused) to.focus();
    this.page.editor.area.readOnly = is;
    $("clear").disabled = is;
    this.page.settle();
    if (is) this.page.status("writing");
  }

  /** Show so many texts, each to use or to copy; their paragraphs. */
  showVariants(count) {
    const { editor, copy } = this.page;
    this.reasons = [];
    const cards = Array.from({ length: count }, (_, k) => {
      const card = document.createElement("article");
      const [title, text, actions] = ["h2", "p", "div"].map((tag) => document.createElement(tag));
      const [use, copyIt] = ["use", "copy"].map(() => document.createElement("button"));
      card.className = "variant";
      actions.className = "actions";
      const values = JSON.stringify({ number: k + 1 });
      Object.assign(title.dataset, { text: "variant", values });
      Object.assign(use.dataset, { text: "use", label: "use_variant", values });
      Object.assign(copyIt.dataset, { text: "copy", label: "copy_variant", values });
      text.dir = "auto";
      use.onclick = () => {
        this.stop();
        this.start = editor.text; // with what was typed since
        editor.set(this.start + text.textContent);
        this.leave(this.reasons[k]);
        $("variants").replaceChildren();
        editor.area.focus();
      };
      copyIt.onclick = () => copy(text.textContent);
      actions.append(use, copyIt);
      card.append(title, text, actions);
      translate(card);
      return card;
    });
    $("variants").replaceChildren(...cards);
    return cards.map((card) => card.querySelector("p"));
  }

  showAlternatives() {
    const { editor, about } = this.page;
    const { text, n } = this.asked ?? { text: editor.text, n: editor.at };
    const actual = Array.from(text)[n];
    $("here").textContent =
      actual === undefined ? say("at_end") : say("at_character", { character: spoken(actual) });
    if (!this.logits) return $("alternatives").replaceChildren();
    return show($("alternatives"), this.logits, {
      tokens: about.vocabulary.ids,
      temperature: 1,
      count: ALTERNATIVES,
      actual,
      choose: (character) => editor.text === text && this.goOn(n, character),
    });
  }
}
