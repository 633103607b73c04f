import { load } from "./django_partstream/partstream.js";
import { Cards } from "./cards.js";
import { byId, element } from "./element.js";
import { milliseconds } from "./numbers.js";
import { PARTS, partTitle } from "./parts.js";
import { showProblem } from "./problem.js";
import { Waterfall } from "./waterfall.js";

const ADDRESS = "/api/dashboard/";
const NAMES = { websocket: "WebSocket", ndjson: "NDJSON", pages: "Pages" };
const LOGGED = 4;
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "medium" });

/** A view whose parts arrive when they are ready, and again when they change. */
export class Dashboard {
  #line;
  #socket;
  #waterfall = new Waterfall(byId("waterfall"));
  #cards = new Cards(byId("cards"), { onRetry: (name) => this.#retry(name) });
  /** @type {import("./django_partstream/partstream.js").Store | null} */
  #store = null;
  #leave = () => {};
  #run = newRun();
  /** @type {Map<string, {first: number, last: number}>} */
  #runs = new Map();

  /**
   * @param {import("./line.js").Line} line
   * @param {import("./django_partstream/partstream.js").Socket} socket
   */
  constructor(line, socket) {
    this.#line = line;
    this.#socket = socket;
    const form = byId("dashboard-form");
    form.addEventListener("change", () => this.load());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.load();
    });
    byId("cut").addEventListener("click", () => this.#cut());
    byId("break").addEventListener("click", () => this.load({ broken: anyPart() }));
  }

  /**
   * Asks for every part, over the transport that is chosen.
   * @param {{broken?: string, cutAfter?: number}} [options]
   */
  load({ broken, cutAfter } = {}) {
    const { transport, live } = byId("dashboard-form").elements;
    const run = newRun({ transport: transport.value, live: live.checked, cutAfter });
    this.#leave();
    this.#run = run;
    byId("dashboard-problem").replaceChildren();
    byId("log").replaceChildren();
    this.#say("running", `Loading over ${NAMES[run.transport]} …`);
    this.#waterfall.begin(Object.keys(PARTS), run.begun);
    this.#cards.begin(Object.keys(PARTS));

    const store = load(broken ? `${ADDRESS}?broken=${broken}` : ADDRESS, {
      ...carriers(run.transport, this.#socket),
      fetch: this.#line.fetch,
      live: run.live,
      onAttempt: (attempt) => run === this.#run && this.#hearAttempt(run, attempt),
      onFrame: (frame) => run === this.#run && this.#hearFrame(run, frame),
    });
    this.#store = store;
    this.#leave = store.subscribe(() => {
      if (run === this.#run) {
        this.#show(run, store.get());
      }
    });
  }

  #show(run, { status, parts, error }) {
    this.#cards.show(parts);

    if (run.ended || status === "loading") {
      return;
    }

    run.ended = true;

    if (status === "failed") {
      this.#fail(error);
    } else {
      this.#finish(run, status);
    }
  }

  #hearAttempt(run, { transport, error, wait }) {
    const at = performance.now() - run.begun;

    if (!error) {
      this.#log(at, `Asked over ${NAMES[transport]}`);
      return;
    }

    const owed = Object.values(this.#store.get().parts).filter(({ state }) =>
      ["loading", "stale"].includes(state),
    ).length;
    const rest = run.ended ? "for what changes" : `for the ${owed} that are owed`;
    run.cutAt = at;

    if (!run.ended) {
      this.#waterfall.cut(at, at + wait);
    }

    this.#log(
      at,
      `The line broke: again ${wait ? `in ${milliseconds(wait)} ` : ""}` +
        `over ${NAMES[transport]}, ${rest}`,
      "bad",
    );
  }

  #hearFrame(run, frame) {
    const at = performance.now() - run.begun;

    if (run.cutAt !== null) {
      this.#log(at, `Went on after ${milliseconds(at - run.cutAt)}`, "good");
      run.cutAt = null;
    }

    if (frame.type === "start" && !run.ended) {
      this.#waterfall.announce(frame.parts);
      this.#cards.begin(frame.parts);
    } else if (frame.type === "part" || frame.type === "error") {
      this.#hearPart(run, frame, at);
    }
  }

  #hearPart(run, { type, name, ms }, at) {
    if (run.ended) {
      run.changes += 1;
      this.#log(at, `${partTitle(name)} has come again`);
      byId("changes").textContent = changesInWords(run.changes);
      return;
    }

    this.#waterfall.arrive(name, at, ms, { failed: type === "error" });
    run.arrived += 1;

    if (run.arrived === run.cutAfter) {
      this.#line.cut({ next: this.#run.transport === "pages" });
    }
  }

  #retry(name) {
    this.#log(performance.now() - this.#run.begun, `Asked for ${partTitle(name)} alone`);
    this.#store?.retry(name);
  }

  /** What is there is cut; where nothing is, a run that will be, after two parts. */
  #cut() {
    if (this.#run.ended && !this.#run.live) {
      this.load({ cutAfter: 2 });
    } else {
      this.#line.cut({ next: this.#run.transport === "pages" });
    }
  }

  #finish({ transport, live }, status) {
    const { first, last } = this.#waterfall.finish();
    this.#runs.set(transport, { first, last });
    this.#say(
      status === "live" ? "live" : "done",
      `Over ${NAMES[transport]}: the first part after ${milliseconds(first)}, ` +
        `the last after ${milliseconds(last)}.`,
    );
    byId("changes").textContent = live ? changesInWords(0) : "";
    this.#compare();
  }

  #fail(error) {
    this.#waterfall.finish();
    this.#say("failed", "");
    showProblem(byId("dashboard-problem"), error, {
      heading: "The dashboard is not complete",
    });
  }

  #say(state, words) {
    byId("dashboard").dataset.run = state;
    byId("dashboard-said").textContent = words;

    if (state === "running") {
      byId("changes").textContent = "";
    }
  }

  #log(at, words, kind = "") {
    const line = element(
      "li",
      { class: kind },
      element("span", { class: "when" }, milliseconds(at)),
      words,
    );
    const log = byId("log");
    log.append(line);

    while (log.childElementCount > LOGGED) {
      log.firstElementChild.remove();
    }
  }

  #compare() {
    const runs = [...this.#runs].map(([transport, { first, last }]) =>
      element(
        "span",
        { "data-testid": `run-${transport}` },
        element("strong", {}, NAMES[transport]),
        ` ${milliseconds(first)} – ${milliseconds(last)}`,
      ),
    );
    const comparison = runs.length > 1 ? ["First and last part:", ...runs] : [];
    byId("runs").replaceChildren(...comparison);
  }
}

/** What the client chooses from: it goes down from there where it has to. */
function carriers(transport, socket) {
  return {
    websocket: { socket },
    ndjson: {},
    pages: { transport: "pages" },
  }[transport];
}

function newRun({ transport = "websocket", live = false, cutAfter } = {}) {
  const begun = performance.now();
  return {
    transport,
    live,
    cutAfter,
    begun,
    arrived: 0,
    changes: 0,
    cutAt: null,
    ended: false,
  };
}

function anyPart() {
  const names = Object.keys(PARTS).slice(1);
  return names[Math.floor(Math.random() * names.length)];
}

function changesInWords(count) {
  return count
    ? `${count} ${count === 1 ? "part has" : "parts have"} come again, ` +
        `the last at ${CLOCK.format(new Date())}.`
    : "Changes arrive by themselves: load flights, here or in another tab.";
}
