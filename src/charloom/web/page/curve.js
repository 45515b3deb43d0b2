/** The training curve as a drawing: nats a character against minutes. */

import { number, say } from "./languages.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [440, 230, 40, 22];
const MARKS = 4; // on each axis

/** From the records of metrics.jsonl; null where there is nothing to draw. */
export function curve(records) {
  const held = records.filter(({ nats }) => Number.isFinite(nats));
  const seen = records.filter(({ loss }) => Number.isFinite(loss));
  if (held.length < 2) return null;
  const values = [...held.map(({ nats }) => nats), ...seen.map(({ loss }) => loss)];
  const [least, most] = [Math.floor(2 * Math.min(...values)) / 2, Math.ceil(2 * Math.max(...values)) / 2];
  const end = records.at(-1).seconds / 60 || 1;
  const x = (seconds) => LEFT + ((WIDTH - LEFT - 8) * seconds) / 60 / end;
  const y = (nats) => 8 + ((HEIGHT - BOTTOM - 8) * (most - nats)) / (most - least);
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const [first, last] = [held[0].nats, held.at(-1).nats].map((nats) => number(nats, 3));
  svg.setAttribute("aria-label", say("curve_label", { first, last, minutes: number(end, 1) }));
  for (let mark = 0; mark <= MARKS; mark++) {
    const [nats, minutes] = [least + ((most - least) * mark) / MARKS, (end * mark) / MARKS];
    svg.append(node("line", { x1: LEFT, x2: WIDTH - 8, y1: y(nats), y2: y(nats) }));
    svg.append(node("text", { x: LEFT - 8, y: y(nats) + 4, "text-anchor": "end" }, number(nats, 2)));
    const anchor = mark === MARKS ? "end" : "middle";
    svg.append(node("text", { x: x(60 * minutes), y: HEIGHT - 4, "text-anchor": anchor }, number(minutes, 1)));
  }
  const path = (points) => points.map(([seconds, nats], n) => `${n ? "L" : "M"}${x(seconds)} ${y(nats)}`).join("");
  svg.append(node("path", { class: "loss", d: path(seen.map(({ seconds, loss }) => [seconds, loss])) }));
  svg.append(node("path", { class: "held", d: path(held.map(({ seconds, nats }) => [seconds, nats])) }));
  return svg;
}

function node(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
