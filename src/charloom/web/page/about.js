/** The view "About": what the model is, how it learned, its card, how to embed the page. */

import { curve } from "./curve.js";
import { $ } from "./elements.js";
import { number, say, tell } from "./languages.js";

export class About {
  constructor(page) {
    this.page = page;
    $("card").replaceChildren(...rendered(page.about.card));
    $("card").hidden = !page.about.card;
    const { served, name } = page.about;
    const file = served ? `${encodeURIComponent(name)}.html` : location.pathname.split("/").pop();
    const title = name.replace(/[&"<>]/g, (character) => `&#${character.charCodeAt(0)};`);
    $("embed").textContent = `<iframe src="${file}" title="${title}" allow="clipboard-write" width="100%" height="640"></iframe>`;
    $("copy-embed").onclick = () => page.copy($("embed").textContent);
  }

  show() {
    const { config, curve: records, served, name } = this.page.about;
    const { metrics = {}, parameters, precision, bytes } = this.page.weights ?? {};
    const { cell, layers, hidden } = config.model;
    const { corpora = [], characters } = config.provenance;
    const { nats } = metrics;
    const names = corpora.map((corpus) => corpus.name).join(", ");
    $("tagline").textContent = names && say("tagline", { names });
    tell($("embed-hint"), served ? "embed_served" : "embed_hint", { name });
    const kind = cell === "rnn" ? say("rnn") : cell.toUpperCase();
    const facts = [["kind", say("kind_value", { cell: kind, layers, hidden: number(hidden) })]];
    if (parameters) facts.push(["parameters", number(parameters)]);
    const count = number(config.vocabulary_size - Object.keys(config.specials).length);
    facts.push(["ids", say(config.unit === "byte" ? "bytes_value" : "characters_value", { count })]);
    if (characters) facts.push(["corpus", say("corpus_value", { names, count: number(characters) })]);
    const conditions = Object.keys(config.conditions ?? {}).join(", ");
    if (conditions) facts.push(["conditions", conditions]);
    if (Number.isFinite(nats)) {
      facts.push(["held_out", say("held_out_value", { nats: number(nats, 3), bits: number(nats / Math.LN2, 3) })]);
    }
    if (bytes) facts.push(["size", say("size_value", { size: number(Math.round(bytes / 1000)), precision })]);
    $("facts").replaceChildren(
      ...facts.flatMap(([label, value]) => {
        const [term, detail] = ["dt", "dd"].map((tag) => document.createElement(tag));
        [term.textContent, detail.textContent] = [say(label), value];
        return [term, detail];
      }),
    );
    const drawing = curve(records);
    $("training").hidden = !drawing;
    $("curve").replaceChildren(...(drawing ? [drawing] : []));
  }
}

/** Markdown as the model card uses it (headings, lists, indented code, paragraphs) as elements of plain text. */
function rendered(markdown) {
  const body = markdown.replace(/^---\n[^]*?\n---\n/, "");
  return body.split(/\n{2,}/).filter((block) => block.trim()).map(block);
}

function block(text) {
  const heading = /^#+ (.*)$/.exec(text.trim());
  const code = /^ {4}/.test(text.replace(/^\n+/, ""));
  const element = document.createElement(heading ? "h2" : code ? "pre" : text.startsWith("- ") ? "ul" : "p");
  if (element.tagName === "UL") {
    for (const line of text.split(/\n(?=- )/)) {
      const item = document.createElement("li");
      item.textContent = line.slice(2);
      element.append(item);
    }
  } else element.textContent = heading ? heading[1] : code ? text.replace(/^ {4}/gm, "") : text.trim();
  return element;
}
