import { byId, element } from "./element.js";
import { duration, outcomeInWords, size, whole } from "./numbers.js";
import { RUNNING, WORDS } from "./states.js";

/** Shows one job: its bar, its pace, its counts. */
export class JobPanel {
  #bar = byId("bar");
  #quarter = 0;
  #onRefresh;

  /** @param {{onCancel: () => void, onRefresh: () => void}} options */
  constructor({ onCancel, onRefresh }) {
    this.#onRefresh = onRefresh;
    byId("cancel").addEventListener("click", onCancel);
  }

  /**
   * @param {string} name
   * @param {{keep?: boolean}} [options] keep what is shown, if something is
   */
  begin(name, { keep = false } = {}) {
    const panel = byId("job");

    if (keep && !panel.hidden) {
      return;
    }

    panel.hidden = false;
    byId("job-name").textContent = name;
    byId("job-word").replaceChildren();
    byId("cancel").hidden = false;
    this.#quarter = 0;
    this.#bar.removeAttribute("value");
    this.#pace("–", "–", "–");
    this.#count({});
    this.state("Reading the file", "waiting");
  }

  /**
   * @param {string} word
   * @param {string} kind for the looks
   */
  state(word, kind) {
    const badge = byId("job-state");

    if (badge.textContent !== word) {
      badge.textContent = word;
      byId("job-said").textContent = `${word}.`;
    }

    byId("job").dataset.state = kind;
  }

  sent({ current: sent, total }) {
    this.#bar.max = total;
    this.#bar.value = sent;
    byId("job-word").textContent = `${size(sent)} of ${size(total)} sent`;

    if (sent === total) {
      this.#bar.removeAttribute("value");
      this.state("Checking the file", "checking");
      byId("job-word").textContent =
        "The server reads the file through once, then the job starts.";
    }
  }

  /** @param {Record<string, any>} snapshot */
  show({ state, progress, result }) {
    const { current, total, rows_per_second, eta_seconds } = progress;
    const [word, kind] = WORDS[state] ?? [state, "running"];
    this.state(word, kind);
    byId("job-word").textContent = "";
    this.#offerCancel(RUNNING.has(state));

    if (state !== "PENDING") {
      this.#bar.max = total;
      this.#bar.value = current;
    }

    this.#pace(
      `${whole(current)} of ${whole(total)}`,
      rows_per_second ? whole(rows_per_second) : "–",
      leftInWords(state, eta_seconds),
    );
    this.#count(result);
    this.#announce(current / total);
  }

  /** @param {Record<string, any>} snapshot the last one */
  finish({ state, message, result }) {
    const sentence = `${outcomeInWords(result)}.`;
    const reason = state === "FAILURE" && message ? ` ${message}` : "";
    byId("job-said").textContent = `${WORDS[state]?.[0] ?? state}. ${sentence}`;
    byId("job-word").replaceChildren(
      sentence + reason,
      element(
        "button",
        {
          type: "button",
          class: "button quiet",
          "data-testid": "refresh-dashboard",
          click: this.#onRefresh,
        },
        "Refresh the dashboard",
      ),
    );
  }

  /** Nothing is to be seen of a file that was not taken. */
  stop() {
    byId("job").hidden = true;
  }

  #offerCancel(offered) {
    const button = byId("cancel");

    if (!offered && button === document.activeElement) {
      byId("job").focus();
    }

    button.hidden = !offered;
  }

  #pace(rows, rate, left) {
    byId("rows").textContent = rows;
    byId("rate").textContent = rate;
    byId("left").textContent = left;
  }

  #count(result) {
    for (const cell of byId("job").querySelectorAll("[data-count]")) {
      cell.textContent = whole(result[`${cell.dataset.count}_count`] ?? 0);
    }
  }

  /** Says every quarter, not every batch: a reader's voice cannot keep up with that. */
  #announce(done) {
    const quarter = Math.floor(done * 4);

    if (quarter > this.#quarter) {
      this.#quarter = quarter;
      byId("job-said").textContent = `${quarter * 25} % of the rows are done.`;
    }
  }
}

function leftInWords(state, seconds) {
  if (!RUNNING.has(state)) {
    return "none";
  }

  return seconds === null || seconds === undefined ? "–" : duration(seconds);
}
