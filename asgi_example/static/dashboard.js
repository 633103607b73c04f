import { stream } from "./django_partstream/partstream.js";
import { byId, element } from "./element.js";
import { milliseconds } from "./numbers.js";
import { PARTS, partBody, partTitle } from "./parts.js";
import { showProblem } from "./problem.js";
import { Waterfall } from "./waterfall.js";

const ADDRESS = "/api/dashboard/";
const NAMES = { websocket: "WebSocket", ndjson: "NDJSON", pages: "Pages" };

/** The second half of the page: a view whose parts arrive when they are ready. */
export class Dashboard {
  #socket;
  #waterfall = new Waterfall(byId("waterfall"));
  #run = new AbortController();
  /** @type {Map<string, {first: number, last: number}>} */
  #runs = new Map();

  /** @param {import("./django_partstream/partstream.js").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    const form = byId("dashboard-form");
    form.addEventListener("change", () => this.load());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.load();
    });
  }

  /** Asks for every part, over the transport that is chosen. */
  async load() {
    this.#run.abort();
    const run = new AbortController();
    this.#run = run;
    const transport = byId("dashboard-form").elements.transport.value;
    byId("dashboard-problem").replaceChildren();
    byId("dashboard").dataset.run = "running";
    byId("dashboard-said").textContent = `Loading over ${NAMES[transport]} …`;
    this.#announce(Object.keys(PARTS));

    try {
      await this.#receive(transport, run.signal);
      this.#finish(transport);
    } catch (error) {
      // A newer run has taken over the page.
      if (!run.signal.aborted) {
        this.#fail(error);
      }
    }
  }

  async #receive(transport, signal) {
    const begun = performance.now();
    this.#waterfall.begin(Object.keys(PARTS), begun);

    for await (const frame of stream(ADDRESS, {
      transport,
      socket: this.#socket,
      signal,
    })) {
      this.#take(frame, performance.now() - begun);
    }
  }

  #take(frame, at) {
    if (frame.type === "start") {
      this.#announce(frame.parts);
      this.#waterfall.announce(frame.parts);
    } else if (frame.type === "part") {
      this.#fill(frame.name, partBody(frame.name, frame.data), "ok");
      this.#waterfall.arrive(frame.name, at, frame.ms);
    } else if (frame.type === "error") {
      this.#fill(frame.name, failure(frame.error), "failed");
      this.#waterfall.arrive(frame.name, at, frame.ms, { failed: true });
    }
  }

  /** Empty cards for what is to come, in declared order. */
  #announce(names) {
    byId("cards").replaceChildren(...names.map(skeleton));
  }

  #fill(name, body, state) {
    const card = byId(`part-${name}`) ?? byId("cards").appendChild(skeleton(name));
    card.dataset.state = state;
    card.removeAttribute("aria-busy");
    card.querySelector(".body").replaceChildren(body);
  }

  #finish(transport) {
    const { first, last } = this.#waterfall.finish();
    this.#runs.set(transport, { first, last });
    byId("dashboard").dataset.run = "done";
    byId("dashboard-said").textContent =
      `Over ${NAMES[transport]}: the first part after ${milliseconds(first)}, ` +
      `the last after ${milliseconds(last)}.`;
    this.#compare();
  }

  #compare() {
    const runs = [...this.#runs].map(([transport, { first, last }]) =>
      element(
        "span",
        { "data-testid": `run-${transport}` },
        `${NAMES[transport]} ${milliseconds(first)} – ${milliseconds(last)}`,
      ),
    );
    const comparison = runs.length > 1 ? ["First and last part: ", ...runs] : [];
    byId("runs").replaceChildren(...comparison);
  }

  #fail(error) {
    this.#waterfall.finish();
    byId("dashboard").dataset.run = "failed";
    byId("dashboard-said").textContent = "";
    showProblem(byId("dashboard-problem"), error, {
      heading: "The dashboard is not complete",
    });

    for (const card of byId("cards").querySelectorAll("[aria-busy]")) {
      card.removeAttribute("aria-busy");
      card.dataset.state = "missing";
      card.querySelector(".body").replaceChildren("This part has not arrived.");
    }
  }
}

function skeleton(name) {
  return element(
    "section",
    {
      id: `part-${name}`,
      class: `card part part-${name}`,
      "data-testid": `part-${name}`,
      "data-state": "loading",
      "aria-labelledby": `title-${name}`,
      "aria-busy": "true",
    },
    element("h3", { id: `title-${name}` }, partTitle(name)),
    element("div", { class: "body" }, element("div", { class: "bones" })),
  );
}

function failure({ title, detail }) {
  return element(
    "div",
    { class: "problem", "data-testid": "part-problem" },
    element("strong", {}, title),
    element("p", {}, detail),
  );
}
