/** What a text belongs to besides itself: a picker for each condition of the model, a field for its source. */

import { $ } from "./elements.js";
import { say } from "./languages.js";
import { mistake } from "./numbers.js";
import { pad } from "./pad.js";

export class Given {
  constructor(page) {
    this.page = page;
    this.fields = Object.entries(page.about.config.conditions ?? {}).map(([name, condition]) =>
      condition.kind === "label" ? this.picker(name, condition) : this.numbers(name, condition),
    );
    this.strength = this.fields.length ? this.dial() : null;
    $("source-field").hidden = !("<sep>" in page.about.config.specials);
    $("source").oninput = () => this.changed();
  }

  /** As the engine takes it; null where the text cannot begin yet. */
  get value() {
    if (this.lacking) return null;
    const condition = Object.fromEntries(this.fields.map(({ name, value }) => [name, value()]));
    return { condition, strength: this.strength?.valueAsNumber ?? 1, source: this.source };
  }

  /** The source as the model reads it; "" for a model without. */
  get source() {
    return $("source-field").hidden ? "" : $("source").value;
  }

  /** What is missing or wrong, as a message; null for nothing. */
  get lacking() {
    if (!$("source-field").hidden && !$("source").value) return ["needs_source"];
    return this.mistake;
  }

  /** What is wrong in a field, as a message; null for nothing. */
  get mistake() {
    const wrong = this.fields.find(({ fits }) => !fits());
    if (wrong) return ["needs_numbers", { name: wrong.name, size: wrong.size }];
    return this.strength && mistake(this.strength);
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

  /** The field for how strongly the conditions act: 1 is what was learned. */
  dial() {
    const input = document.createElement("input");
    Object.assign(input, { type: "number", min: 0, max: 100, step: 0.5, value: 1, className: "strength" });
    this.place(say("strength"), input).querySelector("label").dataset.text = "strength";
    return input;
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
    control.addEventListener("change", () => this.mistake && this.page.notice(...this.mistake));
    field.append(label, control);
    $("given").append(field);
    return field;
  }

  changed() {
    this.page.notice("");
    this.page.changed();
  }
}
