// What the client is tested against: a `fetch` and a `WebSocket` that answer from
// memory, and keep what they were asked.

/**
 * Answers each request with the next of `answers`: a Response, or an Error to throw.
 */
export function fakeFetch(...answers) {
  const requests = [];
  const fetch = async (url, init = {}) => {
    requests.push({ url, ...init });
    const answer = answers.shift();

    if (answer instanceof Error) {
      throw answer;
    }

    return answer;
  };
  return { fetch, requests };
}

export function json(value, { status = 200, type = "application/json" } = {}) {
  return new Response(JSON.stringify(value), {
    status,
    headers: { "Content-Type": type },
  });
}

/**
 * An NDJSON answer in the given pieces. `broken` ends it as a lost line does, `open`
 * leaves it without an end.
 */
export function streamed(pieces, { broken = false, open = false } = {}) {
  const queue = [...pieces];
  let cancel;
  const cancelled = new Promise((resolve) => {
    cancel = resolve;
  });
  const body = new ReadableStream({
    pull(controller) {
      const piece = queue.shift();

      if (piece !== undefined) {
        controller.enqueue(piece);
      } else if (broken) {
        controller.error(new TypeError("terminated"));
      } else if (!open) {
        controller.close();
      }
    },
    cancel,
  });
  const response = new Response(body, {
    headers: { "Content-Type": "application/x-ndjson" },
  });
  return Object.assign(response, { cancelled });
}

export function bytes(...frames) {
  return new TextEncoder().encode(
    frames.map((frame) => `${JSON.stringify(frame)}\n`).join(""),
  );
}

/** A WebSocket class whose sockets are driven by the test. */
export function fakeSockets() {
  const sockets = [];

  class FakeWebSocket {
    readyState = 0;
    sent = [];
    #waiting = [];

    constructor(url, protocol) {
      Object.assign(this, { url, protocol });
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
      this.#waiting.splice(0).forEach((check) => check());
    }

    close() {
      this.readyState = 3;
    }

    /** Resolves once `count` messages have left the client. */
    async leaves(count) {
      while (this.sent.length < count) {
        await new Promise((resolve) => this.#waiting.push(resolve));
      }
    }

    opens() {
      this.readyState = 1;
      this.onopen();
    }

    says(...messages) {
      messages.forEach((message) => this.onmessage({ data: JSON.stringify(message) }));
    }

    closes(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
  }

  return { WebSocket: FakeWebSocket, sockets };
}

export async function collect(frames) {
  const seen = [];

  for await (const frame of frames) {
    seen.push(frame);
  }

  return seen;
}

/** The frames that came, and the error that ended them. */
export async function collectUntilError(frames) {
  const seen = [];

  try {
    for await (const frame of frames) {
      seen.push(frame);
    }
  } catch (error) {
    return { seen, error };
  }

  throw new Error("The iterator ended without an error.");
}

/** Lets everything happen that waits for nothing outside. */
export function turn() {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * A resource with these parts, as pages of two and as NDJSON, whose cursors are the
 * names that are owed. `cuts`: after how many frames (or pages) each answer breaks;
 * `holds`: no frame of a stream ever arrives.
 */
export function fakeServer(values, { cuts = [], holds = false } = {}) {
  const server = { requests: [], made: {}, aborted: 0, fetch: answer };
  const cursorOf = (names) => (names.length ? names.join("+") : null);

  function frames(names) {
    const parts = names.map((name, index) => ({
      type: "part",
      name,
      data: values[name],
      cursor: cursorOf(names.slice(index + 1)),
      ms: index,
    }));
    return [
      { type: "start", v: 1, parts: names, cursor: cursorOf(names) },
      ...parts,
      { type: "end", ok: names.length, failed: 0, cursor: null, reason: "complete" },
    ];
  }

  async function answer(url, { headers, signal }) {
    server.requests.push({ url, headers });
    const query = new URL(url, "http://example.test").searchParams;
    const asked = query.get("cursor") ?? query.get("parts")?.replaceAll(",", "+");
    const names = asked ? asked.split("+") : Object.keys(values);
    const cut = cuts.shift();
    names.forEach((name) => (server.made[name] = (server.made[name] ?? 0) + 1));

    if (headers.Accept === "application/json") {
      const page = names.slice(0, 2).map((name) => ({ [name]: values[name] }));

      if (cut === 0) {
        throw new TypeError("terminated");
      }

      return json({ results: page, cursor: cursorOf(names.slice(2)) });
    }

    if (holds) {
      return new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => {
          server.aborted += 1;
          reject(signal.reason);
        });
      });
    }

    const sent = frames(names).slice(0, cut);
    return streamed(
      sent.map((frame) => bytes(frame)),
      { broken: cut !== undefined },
    );
  }

  return server;
}
