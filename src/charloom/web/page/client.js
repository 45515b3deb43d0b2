/** The page's connection to the model in its Worker. */

export class Client {
  /** `source` is the Worker's script; `onShare` is called with how far a long text is read. */
  constructor(source, onShare) {
    this.waiting = new Map();
    this.jobs = 0;
    this.failed = null;
    this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    this.worker.onerror = ({ message }) => {
      this.failed = Object.assign(new Error(message), { code: "no_worker", values: {} });
      for (const { reject } of this.waiting.values()) reject(this.failed);
      this.waiting.clear();
    };
    this.worker.onmessage = ({ data: { job, part, result, error, share } }) => {
      if (share !== undefined) return onShare(share);
      const { onPart, resolve, reject } = this.waiting.get(job);
      if (part) return onPart(part);
      this.waiting.delete(job);
      return error === undefined ? resolve(result) : reject(Object.assign(new Error(error.message), error));
    };
  }

  /** Ask the model; a promise of its result. `onPart` receives what comes before; `signal` ends the job early. */
  ask(ask, about, { onPart = () => {}, signal } = {}) {
    if (this.failed) return Promise.reject(this.failed);
    const job = ++this.jobs;
    signal?.addEventListener("abort", () => this.worker.postMessage({ job, ask: "abandon" }));
    return new Promise((resolve, reject) => {
      this.waiting.set(job, { onPart, resolve, reject });
      this.worker.postMessage({ job, ask, ...about });
    });
  }
}

/** A question about the text as it is now, asked anew as the text changes; one at a time. */
export class Lookup {
  /**
   * `about()` is {text, given, n, …}, the first `n` characters being what the answer needs, or null for nothing to
   * ask; `use(answer, asked)` receives the answer, null where the model cannot read the text.
   */
  constructor(client, ask, about, use) {
    Object.assign(this, { client, ask, about, use, running: null, again: false });
  }

  /** Ask for what `about()` says now; after what is under way, if that is a part of it. */
  async refresh() {
    this.supersede();
    const asked = this.about();
    if (!asked) return this.use(null, null);
    if (this.running) return (this.again = true);
    const running = { asked, controller: new AbortController() };
    this.running = running;
    let answer = null;
    try {
      answer = await this.client.ask(this.ask, asked, running.controller);
    } catch {
      // a text that the model cannot read has no answer
    }
    if (this.running !== running) return undefined; // abandoned
    this.running = null;
    this.use(answer, asked);
    if (!this.again) return undefined;
    this.again = false;
    return this.refresh();
  }

  /** Abandon the question under way unless reading for it is also reading for the next one. */
  supersede() {
    if (this.running && !continues(this.running.asked, this.about())) this.abandon();
  }

  /** Abandon the question under way: nobody needs its answer. */
  abandon() {
    this.running?.controller.abort();
    Object.assign(this, { running: null, again: false });
  }
}

const continues = (before, now) =>
  now !== null &&
  now.n >= before.n &&
  now.text.startsWith(before.text) &&
  JSON.stringify(now.given) === JSON.stringify(before.given);
