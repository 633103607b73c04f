/** The way to the server, which can be cut, to show what becomes of a page then. */
export class Line {
  /** @type {Set<() => void>} */
  #cuts = new Set();
  #broken = false;

  /** A WebSocket that the line knows of. */
  WebSocket = socketOn(this.#cuts);

  /** `fetch`, whose answers break when the line is cut. @type {typeof fetch} */
  fetch = async (...asked) => {
    if (this.#broken) {
      this.#broken = false;
      throw new TypeError("The line was cut.");
    }

    const response = await fetch(...asked);

    if (!response.body) {
      return response;
    }

    const body = breakable(response.body, this.#cuts);
    const { status, statusText, headers } = response;
    return new Response(body, { status, statusText, headers });
  };

  /**
   * Breaks everything that is on its way.
   * @param {{next?: boolean}} [options] `next`: and the next request, since pages leave
   *   the line alone between two of them
   */
  cut({ next = false } = {}) {
    this.#broken = next;

    for (const cut of [...this.#cuts]) {
      cut();
    }
  }
}

function socketOn(cuts) {
  return class extends WebSocket {
    constructor(...how) {
      super(...how);
      const cut = () => this.close();
      cuts.add(cut);
      this.addEventListener("close", () => cuts.delete(cut));
    }
  };
}

function breakable(body, cuts) {
  const reader = body.getReader();
  let cut;
  return new ReadableStream({
    start(controller) {
      cut = () => {
        cuts.delete(cut);
        controller.error(new TypeError("The line was cut."));
        reader.cancel().catch(() => {});
      };
      cuts.add(cut);
    },
    async pull(controller) {
      const { value, done } = await reader.read();

      if (!cuts.has(cut)) {
        return;
      }

      if (done) {
        cuts.delete(cut);
        controller.close();
      } else {
        controller.enqueue(value);
      }
    },
    cancel(reason) {
      cuts.delete(cut);
      return reader.cancel(reason);
    },
  });
}
