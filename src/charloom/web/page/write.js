/** The view "Write": settings, go and stop, variants side by side, alternatives at the cursor. */

import { show } from "./chances.js";
import { $ } from "./elements.js";
import { number, say, spoken } from "./languages.js";

const NUMBERS = ["length", "seed", "top_k", "top_p", "min_p", "no_repeat", "frequency_penalty", "presence_penalty"];
const DEFAULTS = { length: 300, top_k: 0, top_p: 1, min_p: 0, no_repeat: 0, frequency_penalty: 0, presence_penalty: 0 };
const ALTERNATIVES = 8;

export class Write {
  constructor(page) {
    Object.assign(this, { page, job: 0, logits: null, start: "", left: "", over: false, reasons: [] });
    for (const name in DEFAULTS) $(name).value = page.about.sampling[name] ?? DEFAULTS[name];
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
    this.lookUp = page.client.latest(
      "next",
      () => this.place(),
      (logits) => {
        this.logits = logits;
        this.showAlternatives();
      },
    );
  }

  get writing() {
    return this.job > 0;
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
    if (input.value !== "" && input.checkValidity()) return input.valueAsNumber;
    const [{ textContent: name }] = input.labels;
    this.page.notice(say("out_of_range", { name, least: input.min, most: input.max }));
    input.focus();
    return null;
  }

  async write() {
    const { page } = this;
    const { editor } = page;
    if (this.writing || !page.ready) return;
    page.notice("");
    if (page.given.lacking) return page.notice(page.given.lacking);
    if (!editor.text && page.unfounded) return page.notice(say("needs_text")), editor.area.focus();
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
    this.busy(true);
    try {
      const onJob = (job) => (this.job = job);
      const asked = { text: editor.text, given: page.given.value, options, variants };
      const ended = await page.client.ask("write", asked, { onPart, onJob });
      const rate = number(Math.round(count / ((performance.now() - began) / 1000)));
      const nothing = count === 0 && ended.includes("eos");
      if (nothing) this.start = "";
      this.reasons = ended;
      if (!texts) this.leave(ended[0]);
      const name = nothing ? "wrote_nothing" : ended.includes("eos") ? "wrote_eos" : "wrote";
      page.status(name, { count: number(count), rate, seed: options.seed });
      if (!$("keep").checked) $("seed").value = (options.seed + 1) % 2 ** 32;
    } catch (error) {
      page.notice(say("failed", error));
      page.status("ready");
    }
    this.busy(false);
    this.lookUp();
  }

  /** The text is now as the model left it, for this reason. */
  leave(reason) {
    Object.assign(this, { left: this.page.editor.text, over: reason === "eos" });
    this.page.settle();
  }

  stop() {
    if (this.writing) this.page.client.ask("stop", { writing: this.job });
  }

  /** While the model writes, Stop stands in the place of Write, with its focus, and nobody else writes. */
  busy(is) {
    const [from, to] = is ? [$("write"), $("stop")] : [$("stop"), $("write")];
    const focused = document.activeElement === from;
    [from.hidden, to.hidden] = [true, false];
    if (focused) to.focus();
    if (!is) this.job = 0;
    this.page.editor.area.readOnly = is;
    $("clear").disabled = is;
    this.page.settle();
    if (is) this.page.status("writing");
  }

  /** Room for so many texts, each to take over or to copy; their paragraphs. */
  showVariants(count) {
    const { editor, copy } = this.page;
    const start = editor.text;
    this.reasons = [];
    const cards = Array.from({ length: count }, (_, k) => {
      const card = document.createElement("article");
      const [title, text, actions] = ["h2", "p", "div"].map((tag) => document.createElement(tag));
      const [use, copyIt] = ["use", "copy"].map(() => document.createElement("button"));
      card.className = "variant";
      actions.className = "actions";
      title.textContent = say("variant", { number: k + 1 });
      use.textContent = say("use");
      use.ariaLabel = say("use_variant", { number: k + 1 });
      copyIt.textContent = say("copy");
      copyIt.ariaLabel = say("copy_variant", { number: k + 1 });
      text.dir = "auto";
      use.onclick = () => {
        this.stop();
        editor.set(start + text.textContent);
        this.leave(this.reasons[k]);
        $("variants").replaceChildren();
        editor.area.focus();
      };
      copyIt.onclick = () => copy(text.textContent);
      actions.append(use, copyIt);
      card.append(title, text, actions);
      return card;
    });
    $("variants").replaceChildren(...cards);
    return cards.map((card) => card.querySelector("p"));
  }

  showAlternatives() {
    const { editor, about } = this.page;
    const { characters, at } = editor;
    const actual = characters[at];
    $("here").textContent =
      actual === undefined ? say("at_end") : say("at_character", { character: spoken(actual) });
    if (!this.logits) return $("alternatives").replaceChildren();
    return show($("alternatives"), this.logits, {
      tokens: about.vocabulary.ids,
      temperature: 1,
      count: ALTERNATIVES,
      actual,
      choose: (character) => this.goOn(at, character),
    });
  }
}
