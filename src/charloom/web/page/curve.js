/** The training curve as a drawing: nats a character against minutes. */

import { number, say } from "./languages.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [440, 240, 40, 10, 10, 22];
const MARKS = 5; // on each axis, about

/** From the records of metrics.jsonl; null where there is nothing to draw. */
export function curve(records) {
  const held = records.filter(({ nats }) => Number.isFinite(nats));
  const seen = records.filter(({ loss }) => Number.isFinite(loss));
  if (held.length < 2) return null;
  const values = [...held.map(({ nats }) => nats), ...seen.map(({ loss }) => loss)];
  const end = records.at(-1).seconds / 60;
  const [minutes, nats] = [marks(0, end), marks(Math.min(...values), Math.max(...values))];
  const [least, most] = [nats.places[0], nats.places.at(-1)];
  const last = Math.max(end, minutes.places.at(-1));
  const x = (seconds) => LEFT + ((WIDTH - LEFT - RIGHT) * seconds) / 60 / last;
  const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (most - value)) / (most - least);
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const [first, final] = [held[0].nats, held.at(-1).nats].map((value) => number(value, 3));
  svg.setAttribute("aria-label", say("curve_label", { first, last: final, minutes: number(end, 1) }));
  for (const mark of nats.places) {
    svg.append(node("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(mark), y2: y(mark) }));
    svg.append(node("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, number(mark, nats.digits)));
  }
  for (const mark of minutes.places) {
    svg.append(node("text", { x: x(60 * mark), y: HEIGHT - 4, "text-anchor": "middle" }, number(mark, minutes.digits)));
  }
  const path = (points) => points.map(([seconds, value], n) => `${n ? "L" : "M"}${x(seconds)} ${y(value)}`).join("");
  svg.append(node("path", { class: "loss", d: path(seen.map(({ seconds, loss }) => [seconds, loss])) }));
  svg.append(node("path", { class: "held", d: path(held.map(({ seconds, nats: value }) => [seconds, value])) }));
  svg.append(node("circle", { cx: x(held.at(-1).seconds), cy: y(held.at(-1).nats), r: 4 }));
  return svg;
}

/** Round numbers that reach from at most `least` to at least `most`, and the decimals that they need. */
function marks(least, most) {
  const rough = (most - least) / MARKS || 1;
  const scale = 10 ** Math.floor(Math.log10(rough));
  const step = scale * [1, 2, 5, 10].find((factor) => factor * scale >= rough * 0.999);
  const [from, to] = [Math.floor(least / step + 1e-9), Math.ceil(most / step - 1e-9)];
  const places = Array.from({ length: to - from + 1 }, (_, k) => (from + k) * step);
  return { places, digits: Math.max(0, -Math.floor(Math.log10(step))) };
}

function node(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
