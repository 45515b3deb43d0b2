/** Hidden units over the text: a heat map, one to look at, and the one that follows something. */

import { $ } from "./elements.js";
import { Lookup } from "./client.js";
import { number, say, spoken, tell } from "./languages.js";
import { mistake } from "./numbers.js";

const MOST_READ = 2000; // characters from the end: at 512 units they take four megabytes
const COLUMNS = 240; // characters on the map: narrower ones cannot be told apart
const ROWS = 40; // units on the map
const CHOSEN = 4; // rows that the chosen unit takes, and one below them left empty


/** What a unit may follow: a number a character. */
const FEATURES = {
  quotes: (characters) => {
    let inside = false;
    return characters.map((c) => {
      if (c === '"') inside = !inside;
      else if ("“«„".includes(c)) inside = true;
      else if ("”»".includes(c)) inside = false;
      return Number(inside);
    });
  },
  brackets: (characters) => {
    let depth = 0;
    return characters.map((c) => {
      if ("([{".includes(c)) depth++;
      else if (")]}".includes(c)) depth = Math.max(0, depth - 1);
      return depth;
    });
  },
  line: (characters) => since(characters, (c) => c === "\n"),
  word: (characters) => since(characters, (c) => !/[\p{L}\p{M}\p{N}]/u.test(c)),
  capitals: (characters) => characters.map((c) => Number(/\p{Lu}/u.test(c))),
};

export class Units {
  constructor(page) {
    Object.assign(this, { page, characters: [], activations: null, rows: [], unit: 0, correlation: null, wanted: "" });
    const { hidden, layers } = page.about.config.model;
    this.hidden = hidden;
    $("unit").max = hidden - 1;
    $("layers").hidden = layers === 1;
    $("layer").append(...Array.from({ length: layers }, (_, k) => new Option(k + 1, k)));
    $("layer").onchange = () => this.lookUp.refresh();
    $("unit").onchange = () => {
      const wrong = mistake($("unit"));
      page.notice(...(wrong ?? [""]));
      if (!wrong) this.choose($("unit").valueAsNumber);
    };
    $("find").onchange = () => this.find($("find").value);
    $("map").onclick = (event) => this.choose(this.under(event).unit ?? -1);
    $("map").onpointermove = (event) => this.point(this.under(event));
    $("map").onpointerleave = () => this.show();
    this.lookUp = new Lookup(
      page.client,
      "units",
      () => {
        const { characters, text } = page.editor;
        if (!characters.length || page.given.lacking) return null;
        const [layer, from] = [Number($("layer").value), Math.max(0, characters.length - MOST_READ)];
        return { text, given: page.given.value, n: characters.length, layer, from };
      },
      (activations, asked) => {
        this.activations = activations;
        this.characters = asked ? Array.from(asked.text) : [];
        if (this.wanted && activations) this.find(this.wanted);
        else this.show();
      },
    );
  }

  /** The activations of a unit, one a character that was read. */
  course(unit) {
    const count = (this.activations?.length ?? 0) / this.hidden;
    return Array.from({ length: count }, (_, n) => this.activations[n * this.hidden + unit]);
  }

  choose(unit) {
    if (!(unit >= 0 && unit < this.hidden)) return; // the empty row, or a number out of range
    Object.assign(this, { unit: Math.floor(unit), correlation: null });
    $("unit").value = this.unit;
    $("find").value = "";
    this.page.inside.colour("unit");
    this.show();
  }

  /** Choose the unit whose activation correlates most, either way, with a feature of the text. */
  find(feature) {
    this.wanted = this.activations ? "" : feature; // found as soon as there is something to find it in
    if (!feature || this.wanted) return;
    const wanted = FEATURES[feature](this.characters).slice(-this.course(0).length);
    let [best, most] = [0, 0];
    for (let unit = 0; unit < this.hidden; unit++) {
      const found = correlation(this.course(unit), wanted);
      if (Math.abs(found) > Math.abs(most)) [best, most] = [unit, found];
    }
    if (most) this.choose(best);
    Object.assign(this, { correlation: most });
    $("find").value = feature;
    this.show();
  }

  show() {
    const features = Object.keys(FEATURES).map((name) => new Option(say(`find_${name}`), name));
    const { value } = $("find");
    $("find").replaceChildren(new Option(say("find_none"), ""), ...features);
    $("find").value = value;
    const course = this.course(this.unit);
    $("map").hidden = !course.length;
    tell($("unit-status"), ...this.told(course));
    if (course.length) this.draw();
    if (this.page.inside.coloured === "unit") {
      const before = this.characters.length - course.length;
      this.page.editor.colour([...new Array(before).fill(0), ...course]);
    }
  }

  told(course) {
    if (!course.length) return ["no_text"];
    if (this.correlation === 0) return ["not_found"];
    const { unit } = this;
    if (this.correlation) return ["found", { unit, correlation: number(this.correlation, 2) }];
    const [least, most] = [Math.min(...course), Math.max(...course)].map((value) => number(value, 2));
    return ["unit_range", { unit, least, most }];
  }

  draw() {
    const length = this.course(0).length;
    const columns = Math.min(COLUMNS, length);
    const variance = Array.from({ length: this.hidden }, (_, unit) => varianceOf(this.course(unit).slice(-columns)));
    const lively = Array.from(variance.keys()).sort((a, b) => variance[b] - variance[a]);
    this.rows = [...new Array(CHOSEN).fill(this.unit), null, ...lively.slice(0, ROWS)];
    const map = $("map");
    [map.width, map.height] = [columns, this.rows.length];
    const image = new ImageData(columns, this.rows.length);
    const style = getComputedStyle(map);
    const [warm, cool] = ["--warm", "--cool"].map((name) => style.getPropertyValue(name).split(",").map(Number));
    this.rows.forEach((unit, row) => {
      for (let n = 0; unit !== null && n < columns; n++) {
        const value = this.activations[(length - columns + n) * this.hidden + unit];
        image.data.set([...(value < 0 ? cool : warm), Math.round(255 * Math.abs(value))], 4 * (row * columns + n));
      }
    });
    map.getContext("2d").putImageData(image, 0, 0);
  }

  /** The unit and the character, by its number, that lie under the pointer. */
  under({ offsetX, offsetY }) {
    const map = $("map");
    const [row, column] = [
      Math.floor((offsetY / map.clientHeight) * this.rows.length),
      Math.floor((offsetX / map.clientWidth) * map.width),
    ];
    return { unit: this.rows[row], at: this.characters.length - map.width + column };
  }

  /** Tell the activation that is pointed to. */
  point({ unit, at }) {
    const value = this.activations?.[(at - this.characters.length) * this.hidden + this.activations.length + unit];
    if (unit === null || value === undefined) return;
    const character = spoken(this.characters[at]);
    tell($("unit-status"), "unit_at", { unit, character, value: number(value, 2) });
  }
}

/** How many characters ago `starts` last held. */
function since(characters, starts) {
  let count = 0;
  return characters.map((c) => (count = starts(c) ? 0 : count + 1));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function varianceOf(values) {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
}

/** Pearson's correlation; 0 where one of them never changes. */
function correlation(a, b) {
  const [middleA, middleB] = [mean(a), mean(b)];
  const together = mean(a.map((value, n) => (value - middleA) * (b[n] - middleB)));
  return together / Math.sqrt(varianceOf(a) * varianceOf(b)) || 0;
}
