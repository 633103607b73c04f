import { cancel, load } from "./django_partstream/partstream.js";
import { byId, element } from "./element.js";
import { forgetJob, keptJobs } from "./job.js";
import { outcomeInWords, whole } from "./numbers.js";
import { showProblem } from "./problem.js";
import { refusedAddress } from "./refused.js";
import { csrfHeaders } from "./session.js";
import { RUNNING, WORDS } from "./states.js";

/** The jobs before the one that is shown large: how far they are, or what they came to. */
export class Jobs {
  #list;
  #socket;
  /** @type {Map<string, {row: HTMLElement, leave: () => void}>} */
  #rows = new Map();
  /** @type {string | null} */
  #shown = null;

  /**
   * @param {HTMLElement} list
   * @param {{socket: import("./django_partstream/partstream.js").Socket}} options
   */
  constructor(list, { socket }) {
    this.#list = list;
    this.#socket = socket;
  }

  /**
   * Those that the server has for this user, and those that this browser started.
   * @param {string | null} user
   */
  async begin(user) {
    // The newest is shown large.
    this.#shown = keptJobs()[0]?.task_id ?? null;
    const own = user ? await listed() : [];
    const names = new Map(keptJobs().map(({ task_id, name }) => [task_id, name]));
    const named = own.slice(0, 6).map((job) => ({
      ...job,
      name: names.get(job.task_id) ?? `Job ${job.task_id.slice(0, 8)}`,
    }));
    const kept = keptJobs().filter((job) => !named.some(sameAs(job)));

    for (const job of [...named, ...kept].reverse()) {
      if (job.task_id !== this.#shown) {
        this.#add(job);
      }
    }
  }

  /**
   * The job that is shown large, and so not in the list.
   * @param {import("./job.js").Job} job
   */
  show(job) {
    const before = keptJobs().find(({ task_id }) => task_id === this.#shown);
    this.#shown = job.task_id;
    this.#remove(job.task_id);

    if (before && before.task_id !== job.task_id) {
      this.#add(before);
    }
  }

  #add(job) {
    const row = rowOf(job);
    const store = load(job.events_url, { socket: this.#socket });
    const leave = store.subscribe(() => this.#draw(job, row, store.get()));
    this.#rows.set(job.task_id, { row, leave });
    this.#list.prepend(row);
    byId("earlier").hidden = false;
  }

  #remove(id) {
    const known = this.#rows.get(id);
    known?.leave();
    known?.row.remove();
    this.#rows.delete(id);
    byId("earlier").hidden = this.#rows.size === 0;
  }

  #draw(job, row, { progress, status, error }) {
    if (status === "failed" && error.status === 404) {
      forgetJob(job.task_id);
      this.#remove(job.task_id);
    } else if (progress) {
      draw(row, job, progress);
    }
  }
}

async function listed() {
  const response = await fetch("/api/operations/", {
    headers: { Accept: "application/json" },
  });

  if (!response.ok) {
    throw new Error(`The list of jobs could not be read: ${response.status}.`);
  }

  return (await response.json()).results;
}

function sameAs({ task_id }) {
  return (job) => job.task_id === task_id;
}

function rowOf({ name, task_id }) {
  return element(
    "li",
    { class: "job-row", "data-testid": "job-row", "data-job": task_id },
    element("strong", { class: "job-row-name" }, name),
    element("span", { class: "badge" }, "…"),
    element("span", { class: "note job-row-counts" }),
    element("span", { class: "job-row-actions" }),
    element("progress", { "aria-label": `${name}: rows` }),
  );
}

function draw(row, job, { state, progress, result }) {
  const [word, kind] = WORDS[state] ?? [state, "running"];
  const running = RUNNING.has(state);
  const bar = row.querySelector("progress");
  row.dataset.state = kind;
  row.querySelector(".badge").textContent = word;
  row.querySelector(".job-row-counts").textContent = running
    ? `${whole(progress.current)} of ${whole(progress.total)} rows`
    : outcomeInWords(result);
  bar.hidden = !running;
  bar.max = progress.total;
  bar.value = progress.current;

  if (row.dataset.acts !== `${state} ${result.error_count > 0}`) {
    row.dataset.acts = `${state} ${result.error_count > 0}`;
    row.querySelector(".job-row-actions").replaceChildren(
      ...(running ? [cancelButton(job)] : []),
      ...(!running && result.error_count ? [refusedLink(job)] : []),
    );
  }
}

function cancelButton(job) {
  return element(
    "button",
    {
      type: "button",
      class: "button quiet small",
      "data-testid": "row-cancel",
      "aria-label": `Cancel ${job.name}`,
      click: async () => {
        try {
          await cancel(job.status_url, { headers: csrfHeaders() });
        } catch (error) {
          showProblem(byId("load-problem"), error, { heading: "It was not cancelled" });
        }
      },
    },
    "Cancel",
  );
}

function refusedLink(job) {
  return element(
    "a",
    {
      class: "button quiet small",
      href: refusedAddress(job.results_url, "csv"),
      download: true,
      "data-testid": "row-download",
      "aria-label": `Download the refused rows of ${job.name}`,
    },
    "Refused rows",
  );
}
