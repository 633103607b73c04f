import { element } from "./element.js";
import { PARTS, partBody, partTitle } from "./parts.js";

/** One card for each part. What it showed stays until there is something newer. */
export class Cards {
  #grid;
  #onRetry;
  /** @type {Map<string, {card: HTMLElement, part: object | null}>} */
  #cards = new Map();

  /**
   * @param {HTMLElement} grid
   * @param {{onRetry: (name: string) => void}} options
   */
  constructor(grid, { onRetry }) {
    this.#grid = grid;
    this.#onRetry = onRetry;
  }

  /** @param {string[]} names what will come, in declared order */
  begin(names) {
    const cards = names.map((name) => this.#cardOf(name).card);
    this.#grid.replaceChildren(...cards);

    for (const name of names) {
      this.#wait(name);
    }
  }

  /** @param {Record<string, import("./django_partstream/partstream.js").Part>} parts */
  show(parts) {
    for (const [name, part] of Object.entries(parts)) {
      const known = this.#cardOf(name);

      if (known.part !== part) {
        this.#fill(known, name, part);
      }
    }
  }

  #fill(known, name, part) {
    const again = known.card.dataset.state === "stale";
    known.part = part;

    if (part.state === "loading" || part.state === "stale") {
      this.#wait(name);
      return;
    }

    const { card } = known;
    const failed = part.state === "failed";
    const body = failed ? this.#failure(name, part) : partBody(name, part.data);
    card.dataset.state = part.state;
    card.removeAttribute("aria-busy");
    card.querySelector(".body").replaceChildren(body);
    card.classList.toggle("again", again && !failed);
  }

  #wait(name) {
    const { card } = this.#cardOf(name);
    const has = ["ok", "stale"].includes(card.dataset.state);
    card.dataset.state = has ? "stale" : "loading";
    card.setAttribute("aria-busy", "true");
    card.classList.remove("again");

    if (!has) {
      const bones = element("div", { class: "bones" });
      card.querySelector(".body").replaceChildren(bones);
    }
  }

  #cardOf(name) {
    if (!this.#cards.has(name)) {
      const card = cardOf(name, () => this.#onRetry(name));
      this.#grid.append(card);
      this.#cards.set(name, { card, part: null });
    }

    return this.#cards.get(name);
  }

  #failure(name, { error, data }) {
    const { title = "It did not arrive", detail = "" } = error;
    return element(
      "div",
      {},
      element(
        "div",
        { class: "problem", "data-testid": "part-problem" },
        element("strong", {}, title),
        element("p", {}, detail),
        element(
          "button",
          {
            type: "button",
            class: "button quiet",
            "data-testid": `retry-${name}`,
            click: () => this.#onRetry(name),
          },
          "Try this part again",
        ),
      ),
      data === undefined ? null : element("p", { class: "note" }, "What was there:"),
      data === undefined ? null : partBody(name, data),
    );
  }
}

function cardOf(name, onRetry) {
  const title = partTitle(name);
  return element(
    "section",
    {
      id: `part-${name}`,
      class: `card part part-${name in PARTS ? name : "unknown"}`,
      "data-testid": `part-${name}`,
      "data-state": "loading",
      "aria-labelledby": `title-${name}`,
      "aria-busy": "true",
    },
    element(
      "div",
      { class: "part-head" },
      element("h3", { id: `title-${name}` }, title),
      element("button", {
        type: "button",
        class: "again-button",
        title: "Load this part again",
        "aria-label": `Load ${title} again`,
        "data-testid": `again-${name}`,
        click: onRetry,
      }),
    ),
    element("div", { class: "body" }, element("div", { class: "bones" })),
  );
}
