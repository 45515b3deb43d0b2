/** Where the model comes from: the page's own file, or the server that sent the page. */

import { $ } from "./elements.js";
import { keep, kept } from "./kept.js";
import { say } from "./languages.js";

const FOLDER = "model/"; // beside the page, as the server has it
const KEY = "charloom-key";

/** Its `about()` is a promise of {served, name, config, vocabulary, sampling, card, curve}, its `weights()` of the file. */
export function source() {
  const embedded = $("about").textContent;
  return embedded ? new Embedded(JSON.parse(embedded)) : new Served();
}

class Embedded {
  constructor(about) {
    this.about = async () => about;
  }

  /** As base64. */
  async weights() {
    const text = $("weights").textContent;
    $("weights").remove(); // megabytes that nothing reads again
    return text;
  }
}

class Served {
  constructor() {
    const given = new URLSearchParams(location.hash.slice(1)).get("key");
    if (given) {
      keep(KEY, given);
      history.replaceState(null, "", location.pathname + location.search); // an address is copied and shown about
    }
    this.key = given ?? kept(KEY);
  }

  async about() {
    const models = await (await this.opened("v1/models")).json();
    const json = (name) => this.fetched(name).then((response) => response.json());
    const text = (name) => this.fetched(name, true).then((response) => (response ? response.text() : ""));
    const [config, vocabulary, sampling, card, metrics] = await Promise.all([
      json("config.json"),
      json("vocab.json"),
      json("generation.json"),
      text("README.md"),
      text("metrics.jsonl"),
    ]);
    return { served: true, name: models.data[0].id, config, vocabulary, sampling, card, curve: records(metrics) };
  }

  /** As an ArrayBuffer; `progress` hears the share that has come. */
  async weights(progress) {
    const response = await this.fetched("model.safetensors");
    const size = Number(response.headers.get("content-length"));
    const pieces = [];
    let come = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      pieces.push(value);
      come += value.length;
      if (size) progress(come / size);
    }
    return new Blob(pieces).arrayBuffer();
  }

  /** A response that the key opens; the page asks for one as long as none does. */
  async opened(path) {
    for (;;) {
      const response = await this.request(path);
      if (response.ok) return response;
      if (response.status !== 401) throw new Error(refused(path, response));
      this.key = await asked(this.key !== null);
      keep(KEY, this.key);
    }
  }

  /** A file of the model's folder; null where it may be missing and is. */
  async fetched(name, optional = false) {
    const response = await this.request(FOLDER + name);
    if (response.ok) return response;
    if (optional && response.status === 404) return null;
    throw new Error(refused(name, response));
  }

  request(path) {
    const headers = this.key === null ? {} : { Authorization: `Bearer ${this.key}` };
    return fetch(new URL(path, location.href), { headers });
  }
}

const refused = (name, { status, statusText }) => `${name}: ${status} ${statusText}`;

/** The records of metrics.jsonl that the training curve is drawn from. */
function records(text) {
  return text.split("\n").flatMap((line) => {
    try {
      const { step, seconds, loss, nats } = JSON.parse(line);
      return seconds === undefined ? [] : [{ step, seconds, loss, nats }];
    } catch {
      return []; // the last line of a run that is being written
    }
  });
}

/** The key that somebody types; `again` where the one before was refused. */
function asked(again) {
  const [place, form, field, told] = ["ask", "ask-form", "key", "key-told"].map($);
  place.hidden = false;
  told.textContent = say(again ? "key_wrong" : "key_asked");
  field.value = "";
  field.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      place.hidden = true;
      resolve(field.value.trim());
    };
  });
}
