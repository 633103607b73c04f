import { cancel, follow, ProblemError, upload } from "./django_partstream/partstream.js";
import { byId } from "./element.js";
import { forgetJob, keepJob, keptJobs } from "./job.js";
import { JobPanel } from "./job_panel.js";
import { size } from "./numbers.js";
import { showProblem } from "./problem.js";
import { hideRefused, showRefused } from "./refused.js";
import { csrfHeaders } from "./session.js";

const FLIGHTS = "/api/flights/?unique_fields=time_hour,carrier,flight";
const JANUARY = "/data/flights-2013-01.csv";

/** The first half of the page: a file goes out, a job is watched to its end. */
export class Load {
  #socket;
  #jobs;
  #panel;
  #run = new AbortController();
  /** @type {Record<string, any> | null} */
  #job = null;

  /**
   * @param {import("./django_partstream/partstream.js").Socket} socket
   * @param {{jobs: import("./jobs.js").Jobs, onRefresh: () => void}} options
   */
  constructor(socket, { jobs, onRefresh }) {
    this.#socket = socket;
    this.#jobs = jobs;
    this.#panel = new JobPanel({ onCancel: () => this.#cancel(), onRefresh });
    byId("load-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    watchFileChoice();
  }

  /** Goes on with the newest job of this browser, if it was reloaded. */
  async resume() {
    const [job] = keptJobs();

    if (job) {
      await this.#attempt(() => this.#follow(job), { forgive: 404 });
    }
  }

  async #start() {
    const file = chosenFile();

    if (!file) {
      showProblem(byId("load-problem"), new Error("Choose a file first."), {
        heading: "There is no file yet",
      });
      byId("file").focus();
      return;
    }

    await this.#attempt(async (signal) => {
      this.#panel.begin(file.name);
      this.#panel.state("Sending", "sending");
      const body = await file.read(signal);
      const outcome = await upload(FLIGHTS, body, {
        ...this.#options(signal),
        contentType: "text/csv",
        headers: csrfHeaders(),
        onProgress: (job) => this.#show({ ...job, name: file.name }),
      });
      await this.#finish({ ...outcome, name: file.name }, signal);
    });
  }

  async #follow(job) {
    const { signal } = this.#run;
    let last = job;

    for await (const frame of follow(job.events_url, this.#options(signal))) {
      if (frame.type === "progress") {
        last = { ...job, ...frame };
        this.#show(last);
      }
    }

    await this.#finish(last, signal);
  }

  #options(signal) {
    return {
      socket: this.#socket,
      signal,
      onAttempt: ({ error }) =>
        error && this.#panel.state("Connection lost, trying again", "waiting"),
    };
  }

  #show(job) {
    if (job.state === "SENDING") {
      this.#panel.sent(job.progress);
      return;
    }

    if (!this.#job) {
      this.#job = job;
      keepJob(job);
      this.#jobs.show(job);
      // It goes on by itself: another one may be sent.
      byId("load-button").disabled = false;
    }

    if (job.result) {
      this.#panel.begin(job.name, { keep: true });
      this.#panel.show(job);
    }
  }

  async #finish(job, signal) {
    this.#panel.finish(job);

    if (job.result.error_count) {
      await showRefused(job.results_url, job.result.error_count, signal);
    }
  }

  async #cancel() {
    try {
      if (this.#job) {
        await cancel(this.#job.status_url, { headers: csrfHeaders() });
      } else {
        this.#run.abort();
      }
    } catch (error) {
      showProblem(byId("load-problem"), error, { heading: "It was not cancelled" });
    }
  }

  /**
   * One run at a time: a new one stops following the one before, which goes on.
   * @param {(signal: AbortSignal) => Promise<void>} work
   * @param {{forgive?: number}} [options] a status that is not worth a word
   */
  async #attempt(work, { forgive } = {}) {
    this.#run.abort();
    const run = new AbortController();
    this.#run = run;
    this.#job = null;
    byId("load-problem").replaceChildren();
    hideRefused();
    byId("load-button").disabled = true;

    try {
      await work(run.signal);
    } catch (error) {
      this.#explain(error, run, forgive);
    } finally {
      byId("load-button").disabled = run !== this.#run;
    }
  }

  #explain(error, run, forgive) {
    if (run !== this.#run) {
      return;
    }

    this.#panel.stop();

    if (error instanceof ProblemError && error.status === forgive) {
      forgetJob(keptJobs()[0].task_id);
    } else if (!run.signal.aborted) {
      showProblem(byId("load-problem"), error, { heading: "The load has failed" });
    }
  }
}

/**
 * @returns {{name: string, read: (signal: AbortSignal) => Promise<Blob>} | null}
 */
function chosenFile() {
  if (byId("source-january").checked) {
    return { name: "January 2013", read: fetchJanuary };
  }

  const [file] = byId("file").files;
  return file ? { name: file.name, read: async () => file } : null;
}

async function fetchJanuary(signal) {
  const response = await fetch(JANUARY, { signal });

  if (!response.ok) {
    throw new Error(`The file of January could not be read: ${response.status}.`);
  }

  return response.blob();
}

function watchFileChoice() {
  const input = byId("file");
  const drop = byId("drop");
  input.addEventListener("change", showChoice);
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");

    if (event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      showChoice();
    }
  });
}

function showChoice() {
  const [file] = byId("file").files;
  byId("file-name").value = file
    ? `${file.name}, ${size(file.size)}`
    : "No file chosen";
  byId("source-own").checked = true;
}
