/** The page's end of the line to the model in its Worker. */

export class Client {
  /** `source` is the Worker's script; `onFailure` hears if it cannot run, `onShare` how far a long text is read. */
  constructor(source, onFailure, onShare) {
    this.waiting = new Map();
    this.jobs = 0;
    this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    this.worker.onerror = onFailure;
    this.worker.onmessage = ({ data: { job, part, result, error, share } }) => {
      if (share !== undefined) return onShare(share);
      const { onPart, resolve, reject } = this.waiting.get(job);
      if (part) return onPart(part);
      this.waiting.delete(job);
      return error === undefined ? resolve(result) : reject(new Error(error));
    };
  }

  /** Ask the model; a promise of its result. `onPart` hears what comes before, `onJob` the job's number. */
  ask(ask, about, { onPart = () => {}, onJob = () => {} } = {}) {
    const job = ++this.jobs;
    onJob(job);
    return new Promise((resolve, reject) => {
      this.waiting.set(job, { onPart, resolve, reject });
      this.worker.postMessage({ job, ask, ...about });
    });
  }

  /**
   * A function that asks, whenever called, for what `about()` then says, and gives the answer to `use`.
   * Of calls while an answer is under way only the last is made. `about()` may be null: nothing to ask.
   */
  latest(ask, about, use) {
    let busy = false;
    let again = false;
    const go = async () => {
      again = busy;
      if (busy) return;
      const asked = about();
      if (!asked) return use(null, asked);
      busy = true;
      try {
        use(await this.ask(ask, asked), asked);
      } catch {
        use(null, asked); // a text that the model cannot read has no such answer
      }
      busy = false;
      if (again) go();
    };
    return go;
  }
}
