/** Where the model comes from: the page's own file, or the server that sent the page. */

import { $ } from "./elements.js";
import { tell } from "./languages.js";
import { store, stored } from "./storage.js";

const FOLDER = "model/"; // beside the page, as the server has it
const KEY = `charloom-key:${location.pathname}`; // another path may be another server's

/**
 * Its `about()` is a promise of {served, identity, name, config, vocabulary, sampling, card, curve}, its `weights()` of
 * the file.
 */
export function source() {
  const embedded = $("about").textContent;
  if (!embedded) return new Served();
  try {
    return new Embedded(JSON.parse(embedded));
  } catch {
    throw failed("page_damaged");
  }
}

const SENDABLE = /^[\x21-\x7e]+$/; // what a header can hold

const failed = (code, values = {}) => Object.assign(new Error(code), { code, values });

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
      store("sessionStorage", KEY, { key: given });
      history.replaceState(null, "", location.pathname + location.search); // an address is copied and shown about
    }
    const { key } = stored("sessionStorage", KEY);
    this.key = [given, key].find((each) => SENDABLE.test(each ?? "")) ?? null;
  }

  async about() {
    const models = await parsed("v1/models", await this.opened("v1/models"));
    const json = async (name) => parsed(name, await this.fetched(name));
    const text = (name) => this.fetched(name, true).then((response) => (response ? response.text() : ""));
    const [config, vocabulary, sampling, card, metrics] = await Promise.all([
      json("config.json"),
      json("vocab.json"),
      json("generation.json"),
      text("README.md"),
      text("metrics.jsonl"),
    ]);
    const name = models.data[0].id;
    const identity = digest(JSON.stringify([name, config, vocabulary]));
    return { served: true, identity, name, config, vocabulary, sampling, card, curve: records(metrics) };
  }

  /** As an ArrayBuffer; `progress` hears the share that has come. */
  async weights(progress) {
    const response = await this.fetched("model.safetensors");
    const size = Number(response.headers.get("content-length"));
    const pieces = [];
    let come = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { value, done } = await reader.read().catch(() => {
        throw failed("server_unreachable", { name: "model.safetensors" });
      });
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
      if (response.status !== 401) throw refused(path, response);
      do this.key = await asked(this.key !== null);
      while (!SENDABLE.test(this.key));
      store("sessionStorage", KEY, { key: this.key });
    }
  }

  /** A file of the model's folder; null where it may be missing and is. */
  async fetched(name, optional = false) {
    const response = await this.request(FOLDER + name);
    if (response.ok) return response;
    if (optional && response.status === 404) return null;
    throw refused(name, response);
  }

  async request(path) {
    const headers = this.key === null ? {} : { Authorization: `Bearer ${this.key}` };
    try {
      return await fetch(new URL(path, location.href), { headers });
    } catch {
      throw failed("server_unreachable", { name: path });
    }
  }
}

const refused = (name, { status }) => failed("server_refused", { name, status: String(status) });

async function parsed(name, response) {
  try {
    return await response.json();
  } catch {
    throw failed("server_damaged", { name });
  }
}

/** 32 bits of a text (FNV-1a): enough to tell the few models of one address apart. */
function digest(text) {
  let hash = 0x811c9dc5;
  for (let k = 0; k < text.length; k++) hash = Math.imul(hash ^ text.charCodeAt(k), 0x01000193);
  return (hash >>> 0).toString(16);
}

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
  tell(told, again ? "key_wrong" : "key_asked");
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
