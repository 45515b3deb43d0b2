/** What outlives a reload, by model: settings and language in the browser, the draft in its tab alone. */

import { $ } from "./elements.js";
import { LANGUAGES } from "./languages.js";
import { inRange } from "./numbers.js";

const SETTINGS = "#view-write input, #given .strength";
const DRAFT = "#source, #given :is(input, select):not(.strength)";

/** The object stored under a name in "localStorage" or "sessionStorage"; {} for none, for garbage, and without storage. */
export function stored(area, name) {
  try {
    const found = JSON.parse(globalThis[area].getItem(name));
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

/** Store an object under a name, where the browser has storage and room for it. */
export function store(area, name, object) {
  try {
    globalThis[area].removeItem(name); // rather nothing than what no longer holds
    globalThis[area].setItem(name, JSON.stringify(object));
  } catch {
    // none in a sandbox, or full: a reload begins anew
  }
}

export class Memory {
  /** Of the model that `page` shows; nothing is stored before `restore`. */
  constructor(page) {
    this.page = page;
    this.name = `charloom:${page.about.identity}`;
    this.defaults = values(SETTINGS);
    this.settings = stored("localStorage", this.name);
    this.draft = stored("sessionStorage", this.name);
  }

  /** The language that was chosen for this model's page; undefined for none. */
  get language() {
    return Object.hasOwn(LANGUAGES, this.settings.language) ? this.settings.language : undefined;
  }

  set language(code) {
    this.settings.language = code;
    this.page.settle();
  }

  /** Put everything back that still fits, and store what changes from now on. */
  restore() {
    const { page, settings, draft } = this;
    put(settings.controls ?? {}, SETTINGS);
    put(draft.controls ?? {}, DRAFT);
    if (["surprise", "unit"].includes(settings.colour)) page.inside.colour(settings.colour);
    if (typeof draft.text === "string") page.editor.set(page.editor.normalise(draft.text), false);
    for (const name of ["input", "change"]) document.addEventListener(name, () => page.settle());
    addEventListener("pagehide", () => this.save());
  }

  /** Store the settings that differ from the model's, and the draft. */
  save() {
    const { page, defaults } = this;
    const controls = Object.entries(values(SETTINGS)).filter(([id, value]) => value !== defaults[id]);
    const { language } = this;
    this.settings = { language, colour: page.inside.coloured, controls: Object.fromEntries(controls) };
    store("localStorage", this.name, this.settings);
    store("sessionStorage", this.name, { text: page.editor.text, controls: values(DRAFT) });
  }
}

const valueOf = (control) => (control.type === "checkbox" ? control.checked : control.value);

function values(selector) {
  return Object.fromEntries(Array.from(document.querySelectorAll(selector), (control) => [control.id, valueOf(control)]));
}

/** Give controls their stored values, as if somebody had entered them; what does not fit is left out. */
function put(stored, selector) {
  for (const control of document.querySelectorAll(selector)) {
    const before = valueOf(control);
    const value = Object.hasOwn(stored, control.id) ? stored[control.id] : before;
    if (value === before || typeof value !== typeof before) continue;
    control[control.type === "checkbox" ? "checked" : "value"] = value;
    if (valueOf(control) !== value || (control.type === "number" && !inRange(control))) {
      control.value = before;
      continue;
    }
    for (const name of ["input", "change"]) control.dispatchEvent(new Event(name, { bubbles: true }));
    control.closest("details")?.setAttribute("open", ""); // a setting that differs is seen
  }
}
