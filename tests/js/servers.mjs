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
