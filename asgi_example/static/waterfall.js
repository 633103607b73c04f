import { element } from "./element.js";
import { milliseconds } from "./numbers.js";
import { partTitle } from "./parts.js";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/** When each part arrived: by the clock of this page, beside the server's own. */
export class Waterfall {
  #body;
  /** @type {Map<string, {row: HTMLElement, at: number | null, work: number}>} */
  #lines = new Map();
  #begun = 0;
  #frame = 0;
  /** @type {{from: number, to: number}[]} */
  #gaps = [];

  /** @param {HTMLElement} body of a table */
  constructor(body) {
    this.#body = body;
  }

  /**
   * @param {string[]} names
   * @param {number} begun
   */
  begin(names, begun) {
    this.#begun = begun;
    this.#gaps = [];
    this.#lines = new Map();
    this.announce(names);
    this.#tick();
  }

  /** @param {string[]} names in declared order */
  announce(names) {
    const lines = names.map((name) => [name, this.#lines.get(name) ?? lineOf(name)]);
    this.#lines = new Map(lines);
    this.#body.replaceChildren(...[...this.#lines.values()].map(({ row }) => row));
  }

  /**
   * @param {string} name
   * @param {number} at milliseconds since the request
   * @param {number} [work] milliseconds of the server's work; pages do not say
   * @param {{failed?: boolean}} [options]
   */
  arrive(name, at, work, { failed = false } = {}) {
    const line = this.#lines.get(name) ?? this.#add(name);
    const { row } = line;
    line.at = at;
    line.work = Math.min(work ?? 0, at);
    row.dataset.state = failed ? "failed" : "arrived";
    row.dataset.arrived = at.toFixed(1);
    row.dataset.serverMs = String(work ?? "");
    row.querySelector(".at").textContent = milliseconds(at);
    row.querySelector(".work").textContent =
      work === undefined ? "–" : milliseconds(work);
    this.#draw();
  }

  /**
   * From here on nothing comes, until it is asked for again.
   * @param {number} from milliseconds since the request
   * @param {number} to
   */
  cut(from, to) {
    this.#gaps.push({ from, to });
  }

  /** Stops the clock. */
  finish() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#draw();
    const arrived = [...this.#lines.values()].flatMap(({ at }) => at ?? []);
    return { first: Math.min(...arrived), last: Math.max(...arrived) };
  }

  #add(name) {
    const line = lineOf(name);
    this.#lines.set(name, line);
    this.#body.append(line.row);
    return line;
  }

  /** Lets what is on its way grow; stands still for those who asked for that. */
  #tick() {
    cancelAnimationFrame(this.#frame);
    this.#frame = STILL.matches ? 0 : requestAnimationFrame(() => this.#tick());
    this.#draw();
  }

  #draw() {
    const lines = [...this.#lines.values()];
    const now = this.#frame ? performance.now() - this.#begun : 0;
    const width = Math.max(now, 1, ...lines.map(({ at }) => at ?? 0));

    for (const { row, at, work } of lines) {
      const end = at ?? now;
      row.style.setProperty("--end", `${(100 * end) / width}%`);
      row.style.setProperty("--work", `${end ? (100 * work) / end : 0}%`);
      const gaps = this.#gaps.filter(({ from }) => from <= end);
      row.querySelector(".gaps").replaceChildren(
        ...gaps.map(({ from, to }) => gapOf(from / width, Math.min(to, end) / width)),
      );
    }
  }
}

/** Where the line was cut, as parts of the whole. */
function gapOf(from, to) {
  const style = `left: ${100 * from}%; width: ${100 * Math.max(0, to - from)}%`;
  return element("div", { class: "gap", style });
}

// With roles, since on a phone a row is laid out as a grid, which would lose them.
function lineOf(name) {
  const track = element(
    "div",
    { class: "track" },
    element("div", { class: "span" }),
    element("div", { class: "gaps" }),
  );
  const row = element(
    "tr",
    {
      role: "row",
      "data-testid": "waterfall-row",
      "data-part": name,
      "data-state": "loading",
    },
    element("th", { scope: "row", role: "rowheader" }, partTitle(name)),
    element("td", { class: "picture", "aria-hidden": "true" }, track),
    element("td", { class: "at", role: "cell" }, "…"),
    element("td", { class: "work", role: "cell" }),
  );
  return { row, at: null, work: 0 };
}
