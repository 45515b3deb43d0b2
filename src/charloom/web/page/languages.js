/** What the page says, in the browser's language where it is one of these. */

import { MESSAGES, fill } from "../engine/errors.js";
import { SPANISH } from "./spanish.js";

export const TEXTS = {
  en: {
    language_name: "English",
    views: "Views",
    language: "Language",
    write_view: "Write",
    inside_view: "Look inside",
    about_view: "About",
    text: "Text",
    placeholder: "Begin a text here, or let the model begin.",
    tagline: "A model that has read {names} and nothing else",
    write: "Write",
    write_on: "Write on",
    write_another: "Write another",
    stop: "Stop",
    undo: "Undo",
    redo: "Redo",
    copy: "Copy",
    clear: "Clear",
    loading: "Loading the model…",
    reading: "Reading the text",
    loading_share: "Loading the model… {share}%",
    key: "Key",
    key_asked: "This server asks for a key. Whoever runs it has one.",
    key_wrong: "The server does not take this key. Is it whole?",
    open: "Open",
    ready: "Ready. Press Write and the model goes on from the text.",
    writing: "Writing…",
    wrote: "{count} characters, {rate} a second, seed {seed}.",
    wrote_eos: "{count} characters, seed {seed}. The model ended the text here.",
    wrote_nothing: "The model would end the text here. Change it, write another, or open More settings.",
    copied: "Copied.",
    copy_failed: "The browser does not allow copying; select the text and copy it by hand.",
    any: "any",
    source: "Source: the text to translate",
    needs_source: "This model writes what belongs to a source: fill in the source first.",
    needs_numbers: "{name} takes {size} numbers, with spaces or commas between them, or none.",
    peek: "{character}: {share}, a surprise of {bits} bits. Choose what to write on from.",
    alternatives_here: "Alternatives for this character",
    needs_text: "This model needs a beginning: write a letter or more.",
    no_worker: "The browser did not start the model. A current Firefox, Chrome, Edge or Safari can.",
    failed: "That did not work: {message}.",
    out_of_range: "{name} takes a number from {least} to {most}.",
    out_of_whole_range: "{name} takes a whole number from {least} to {most}.",
    nothing_left: "“Never these characters” and “Only these characters” leave none to write; loosen one of them",
    server_refused: "{name}: {status}; the server did not send it",
    server_unreachable: "{name}: the server cannot be reached",
    server_damaged: "{name}: what the server sent cannot be read",
    page_damaged: "the page's file is damaged; copy it again",
    temperature: "Temperature",
    temperature_hint: "Low is safe and repeats itself, 1 is what was learned, high is wild. 0 always takes the likeliest.",
    length: "Characters",
    variants: "Variants",
    seed: "Seed",
    keep_seed: "Keep the seed: the same again",
    colour_sure: "Colour by surprise: the warmer, the less expected",
    alternatives: "At the cursor",
    at_end: "What may come next. Choose one to write on from it.",
    at_character: "What may stand in place of {character}. Choose one to write on from it.",
    more: "More settings",
    top_k: "Likeliest only (0: all)",
    top_p: "Up to this share",
    min_p: "At least this share of the likeliest",
    no_repeat: "No run repeated of",
    strength: "Strength",
    frequency_penalty: "Less of what came often",
    presence_penalty: "Less of what came",
    halt: "Stop before this text",
    ban: "Never these characters",
    only: "Only these characters",
    ignore_eos: "Go on where the model would end the text",
    fixed_width: "Letters of one width",
    variant: "Variant {number}",
    use: "Use this one",
    use_variant: "Use variant {number}",
    copy_variant: "Copy variant {number}",
    next: "The next character",
    next_end: "After the end of the text. Choose one to add it.",
    next_cursor: "At the cursor, in place of {character}. Choose one to put it there and drop the rest.",
    marks: "Temperatures to compare",
    spread: "As unsure as between {count} equally likely characters.",
    surprise: "Surprise",
    bits_a_character: "bits a character",
    surprise_hint: "How well the model predicts the text; paste any. 1 bit is a coin's toss at each character, fewer is better.",
    colour: "Colour the text by",
    colour_none: "Nothing",
    colour_surprise: "Surprise: the warmer, the less expected",
    colour_unit: "The chosen hidden unit: warm above zero, cool below",
    units: "Hidden units",
    units_hint: "A column a character, a row a unit: the chosen one, then the liveliest. Press a row to choose it.",
    map: "Heat map of hidden units over the text; choose a unit by its number below",
    layer: "Layer",
    unit: "Unit",
    find: "Find the unit that follows",
    find_none: "choose…",
    find_quotes: "quotation marks",
    find_brackets: "brackets",
    find_line: "the place in the line",
    find_word: "the place in the word",
    find_capitals: "capital letters",
    found: "Unit {unit} follows it best: correlation {correlation}.",
    not_found: "The text has nothing of the kind to follow.",
    unit_at: "Unit {unit} after {character}: {value}.",
    unit_range: "Unit {unit}: from {least} to {most} over this text.",
    no_text: "Write or paste some text first.",
    facts: "This model",
    kind: "Kind",
    kind_value: "{cell}, layers: {layers}, hidden units: {hidden}",
    rnn: "simple recurrent network",
    parameters: "Parameters",
    ids: "Vocabulary",
    characters_value: "{count} characters",
    bytes_value: "the {count} bytes",
    corpus: "Trained on",
    corpus_value: "{names} ({count} characters)",
    conditions: "Depends on",
    held_out: "Held-out loss",
    held_out_value: "{nats} nats, {bits} bits a character",
    size: "Weights",
    size_value: "{size} kB, {precision}",
    curve: "How it learned",
    curve_label: "Held-out loss from {first} to {last} nats a character in {minutes} minutes",
    curve_hint: "Nats a character against minutes: held-out text solid, training text dashed.",
    embed: "Put it in a page of yours",
    embed_hint: "This page is one file and needs nothing else. Lay it beside your page and add:",
    embed_served: "charloom export {name} --to html makes one file of this page. Lay it beside a page of yours and add:",
    copy_embed: "Copy the line",
    space: "space",
    newline: "new line",
    tab: "tab",
    end: "end of the text",
    control: "control character {code}",
  },
  es: SPANISH,
};

export const LANGUAGES = Object.fromEntries(Object.entries(TEXTS).map(([code, texts]) => [code, texts.language_name]));

/** The browser's language, where it is one of these. */
export const PREFERRED = navigator.languages.map((tag) => tag.slice(0, 2)).find((code) => code in TEXTS) ?? "en";

let current = PREFERRED;

/** The code of the language in use. */
export const language = () => current;

/**
 * A text by its name, with values for its {places}: texts, numbers, which are written as the language does, and
 * [name, values] for another text.
 */
export function say(name, values = {}) {
  const shown = Object.entries(values).map(([key, value]) => {
    if (Array.isArray(value)) return [key, say(...value)];
    // limits are written as one enters them, without separators
    const useGrouping = key !== "least" && key !== "most";
    const options = { useGrouping, maximumFractionDigits: 6 };
    return [key, typeof value === "number" ? value.toLocaleString(current, options) : value];
  });
  return fill(TEXTS[current][name] ?? MESSAGES[name], Object.fromEntries(shown));
}

/** An error as a text to `say`: that of its code where there is one, its own message for others. */
export function problem({ code, values, message }) {
  return Object.hasOwn(MESSAGES, code) || Object.hasOwn(TEXTS.en, code) ? [code, values] : message;
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return value.toLocaleString(current, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A share of one, as percent. */
export function percent(share) {
  return share.toLocaleString(current, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** A character's name, for those that cannot be seen. */
export function spoken(character) {
  const names = { " ": "space", "\n": "newline", "\t": "tab" };
  if (character in names) return say(names[character]);
  const code = character.codePointAt(0);
  return code < 32 || code === 127 ? say("control", { code }) : character;
}

/** Let an element show a text, now and in every language that is chosen later; none for "". */
export function tell(element, name, values = {}) {
  Object.assign(element.dataset, { text: name, values: JSON.stringify(values) });
  element.textContent = name && say(name, values);
}

/** Use this language from now on: every element with data-text, data-label or data-placeholder changes. */
export function speak(code) {
  current = code;
  document.documentElement.lang = code;
  translate(document);
}

/** Translate everything within `root`; data-values are those of its texts and labels. */
export function translate(root) {
  const values = ({ dataset }) => JSON.parse(dataset.values ?? "{}");
  for (const element of root.querySelectorAll("[data-text]")) tell(element, element.dataset.text, values(element));
  for (const element of root.querySelectorAll("[data-label]")) {
    element.ariaLabel = say(element.dataset.label, values(element));
  }
  for (const element of root.querySelectorAll("[data-placeholder]")) {
    element.placeholder = say(element.dataset.placeholder);
  }
}
