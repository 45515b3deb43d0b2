/** What a text belongs to besides itself: a picker for each condition of the model, a field for its source. */

import { $ } from "./elements.js";
import { say } from "./languages.js";
import { pad } from "./pad.js";

export class Given {
  constructor(page) {
    this.page = page;
    this.fields = Object.entries(page.about.config.conditions ?? {}).map(([name, condition]) =>
      condition.kind === "label" ? this.picker(name, condition) : this.numbers(name, condition),
    );
    this.strength = this.fields.length ? this.dial() : () => 1;
    $("source-field").hidden = !("<sep>" in page.about.config.specials);
    $("source").oninput = () => this.changed();
  }

  /** As the engine takes it; null where the text cannot begin yet. */
  get value() {
    if (this.lacking) return null;
    const condition = Object.fromEntries(this.fields.map(({ name, value }) => [name, value()]));
    return { condition, strength: this.strength(), source: $("source").value };
  }

  /** What the user has still to give, in words. */
  get lacking() {
    if (!$("source-field").hidden && !$("source").value) return say("needs_source");
    const wrong = this.fields.find(({ fits }) => !fits());
    return wrong ? say("needs_numbers", wrong) : "";
  }

  /** A list of a label's values, "any" first. */
  picker(name, { values }) {
    const select = document.createElement("select");
    const any = new Option("", "");
    any.dataset.text = "any";
    select.append(any, ...values.map((value, k) => new Option(value, k)));
    this.place(name, select);
    return { name, value: () => (select.value === "" ? null : values[select.value]), fits: () => true };
  }

  /** A field for an array's numbers; one that may be a picture can be drawn. */
  numbers(name, { size, mean, deviation }) {
    const input = document.createElement("input");
    input.type = "text";
    input.autocomplete = "off";
    const field = this.place(name, input);
    const read = () => (input.value.trim() ? input.value.trim().split(/[\s,;]+/).map(Number) : null);
    const side = Math.sqrt(size);
    const drawn = (values) => {
      input.value = values.join(" ");
      this.changed();
    };
    const redraw = Number.isInteger(side) && side > 1 ? pad(field, { side, ink: mean + 2 * deviation, read, drawn }) : () => {};
    input.addEventListener("input", redraw);
    const fits = () => !read() || (read().length === size && read().every(Number.isFinite));
    return { name, size, value: read, fits };
  }

  /** How much of the conditions is to be felt: 1 is what was learned. */
  dial() {
    const input = document.createElement("input");
    Object.assign(input, { type: "number", min: 0, max: 100, step: 0.5, value: 1 });
    this.place(say("strength"), input).querySelector("label").dataset.text = "strength";
    return () => (input.checkValidity() && input.value ? Number(input.value) : 1);
  }

  /** A labelled place for a control. */
  place(name, control) {
    const field = document.createElement("div");
    const label = document.createElement("label");
    field.className = "field";
    label.textContent = name;
    label.dir = "auto";
    control.id = label.htmlFor = `condition-${$("given").children.length}`;
    control.addEventListener("input", () => this.changed());
    field.append(label, control);
    $("given").append(field);
    return field;
  }

  changed() {
    this.page.notice("");
    this.page.settle();
  }
}
