/** What may come next, as bars: each a button that chooses it. */

import { byLikelihood, logSoftmax } from "../engine/sampler.js";
import { percent, say, spoken } from "./languages.js";

const PICTURES = { " ": "␣", "\n": "⏎", "\t": "⇥" };
const NEVER = ["<bos>", "<sep>", "<byte>"];

/** Log-probabilities (V,) in nats at a temperature; what is never drawn has none, 0 leaves the likeliest alone. */
export function chances(logits, tokens, temperature) {
  const drawable = logits.map((logit, id) => (NEVER.includes(tokens[id].special) ? -Infinity : logit));
  if (temperature) return logSoftmax(drawable.map((logit) => logit / temperature));
  const [likeliest] = byLikelihood(drawable);
  return Float64Array.from(drawable, (_, id) => (id === likeliest ? 0 : -Infinity));
}

/** How many equally likely characters would leave one as unsure: e to the entropy. */
export function spread(logs) {
  return Math.exp(-logs.reduce((sum, log) => sum + (log > -Infinity ? Math.exp(log) * log : 0), 0));
}

/** Show the `count` likeliest in `list`; `choose` hears the character picked, `actual` stands in the text. */
export function show(list, logits, { tokens, temperature, count, actual, choose }) {
  const logs = chances(logits, tokens, temperature);
  const order = byLikelihood(logits)
    .filter((id) => !NEVER.includes(tokens[id].special))
    .slice(0, count);
  const focused = list.contains(document.activeElement) ? Array.from(list.children).indexOf(document.activeElement.parentElement) : -1;
  list.replaceChildren(...order.map((id) => item(tokens[id], Math.exp(logs[id]), actual, choose)));
  list.children[focused]?.firstElementChild.focus();
}

function item(token, chance, actual, choose) {
  const character = characterOf(token);
  const button = document.createElement("button");
  const glyph = document.createElement("bdi");
  const bar = document.createElement("i");
  const share = document.createElement("span");
  glyph.textContent = token.special ? "∎" : (PICTURES[character] ?? character ?? hexadecimal(token.byte));
  bar.style.setProperty("--chance", chance);
  share.textContent = percent(chance);
  button.append(glyph, bar, share);
  button.ariaLabel = `${token.special ? say("end") : spoken(character ?? hexadecimal(token.byte))}, ${share.textContent}`;
  button.disabled = character === undefined;
  if (character !== undefined && character === actual) button.setAttribute("aria-current", "true");
  button.onclick = () => choose(character);
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

/** The character that a token can be put into a text as; a byte of several may not stand alone. */
function characterOf(token) {
  if (typeof token === "string") return token;
  return token.byte < 128 ? String.fromCharCode(token.byte) : undefined;
}

const hexadecimal = (byte) => byte.toString(16).padStart(2, "0");
