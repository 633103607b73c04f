/**
 * The browser's side of django-partstream: everything slow is an async iterator of
 * frames, whatever carries them. No DOM, no framework, no dependency in here.
 *
 * Every iterator ends after an `end` frame, or throws: ProblemError where the server
 * refused, StreamInterruptedError where the line broke, the signal's reason after an
 * abort.
 */

/**
 * A problem document (RFC 9457); further members are the server's own.
 * @typedef {{type?: string, title?: string, status: number, detail?: string,
 *   code?: string, part?: string, [member: string]: any}} Problem
 */

/**
 * One frame. Which members there are depends on `type`: `start`, `part`, `items`,
 * `error`, `progress`, `ping`, `live`, `end`, and whatever later versions add.
 * @typedef {{type: string, name?: string, cursor?: string | null,
 *   [member: string]: any}} Frame
 */

/**
 * @typedef {object} RequestOptions
 * @property {AbortSignal} [signal]
 * @property {Record<string, string>} [headers]
 * @property {typeof globalThis.fetch} [fetch]
 */

/** @typedef {RequestOptions & {cursor?: string | null, live?: boolean}} StreamOptions */

/**
 * @typedef {object} SubscribeOptions
 * @property {AbortSignal} [signal]
 * @property {string | null} [cursor]
 * @property {boolean} [live]
 */

/**
 * @typedef {object} ConnectOptions
 * @property {Record<string, string>} [headers] sent with `connection_init`
 * @property {typeof globalThis.WebSocket} [WebSocket]
 * @property {number} [queueSize] frames that may wait for a slow reader of one
 *   subscription; one more ends it with StreamInterruptedError (default 1000)
 * @property {number} [keepAlive] milliseconds of silence after which the server is
 *   asked for a sign of life; twice that is a lost line (default 20000)
 * @property {AbortSignal} [signal] closes the connection
 */

/** The server refused. */
export class ProblemError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail || problem.title || `The server answered ${problem.status}.`);
    this.name = "ProblemError";
    this.problem = problem;
    this.status = problem.status;
    this.code = problem.code ?? "error";
    this.detail = problem.detail ?? "";
  }
}

/** The line broke before the end. What was received stays good. */
export class StreamInterruptedError extends Error {
  /**
   * @param {string} message
   * @param {{cause?: unknown, closeCode?: number}} [options]
   */
  constructor(message, { cause, closeCode } = {}) {
    super(message, { cause });
    this.name = "StreamInterruptedError";
    /** The socket's close code, where a socket closed. */
    this.closeCode = closeCode;
    /**
     * The newest cursor that the reader has been given: hand it to any transport to
     * get the rest. null: nothing is owed; undefined: none came, start again.
     * @type {string | null | undefined}
     */
    this.cursor = undefined;
  }
}

/**
 * The frames of a streamable resource over the transport of one's choice.
 * @param {string} url
 * @param {StreamOptions & {
 *   transport?: "websocket" | "ndjson" | "pages", socket?: Connection}} [options]
 *   `transport` is "websocket" where there is a `socket` from `connect()`, else
 *   "ndjson"
 * @returns {AsyncGenerator<Frame, void, void>}
 */
export function stream(url, options = {}) {
  const { socket, transport = socket ? "websocket" : "ndjson" } = options;

  if (transport === "pages") {
    return pages(url, options);
  }

  if (transport === "ndjson") {
    return ndjson(url, options);
  }

  if (transport === "websocket" && socket) {
    return socket.subscribe(url, options);
  }

  throw new TypeError(
    `transport is ${JSON.stringify(transport)}; expected "ndjson", "pages", or ` +
      '"websocket" with a socket from connect().',
  );
}

/**
 * The frames of a job, from its `events_url`.
 * @param {string} eventsUrl
 * @param {Parameters<typeof stream>[1]} [options]
 */
export function follow(eventsUrl, options) {
  return stream(eventsUrl, options);
}

/**
 * `part` and `error` frames made from cursor pages, read until nothing is owed, then
 * an `end`. There is no `start`: pages do not announce what comes.
 * @param {string} url
 * @param {StreamOptions} [options]
 */
export function pages(url, options = {}) {
  return untilEnd(pageFrames(url, options), options);
}

/**
 * The frames of one streamed answer.
 * @param {string} url
 * @param {StreamOptions} [options]
 */
export function ndjson(url, options = {}) {
  return untilEnd(records(resumed(url, options), options), options);
}

/**
 * The records of any NDJSON answer, as they arrive.
 * @param {string} url
 * @param {RequestOptions} [options]
 * @returns {AsyncGenerator<any, void, void>}
 */
export async function* records(url, options = {}) {
  const type = "application/x-ndjson";
  const response = await request(url, { ...options, accept: type });

  if (!response.body || !mediaType(response).startsWith(type)) {
    await response.body?.cancel();
    throw unexpected(response, type);
  }

  for await (const line of lines(response.body)) {
    yield JSON.parse(line);
  }
}

/**
 * One socket for many subscriptions. It opens with the first of them, and again with
 * the next one after it was lost.
 * @param {string} socketUrl absolute, or relative to the page
 * @param {ConnectOptions} [options]
 */
export function connect(socketUrl, options) {
  return new Connection(socketUrl, options);
}

/**
 * Sends a body that becomes a job. Resolves to the 202 document: `task_id`,
 * `total_items`, `status_url`, `events_url`, `results_url`.
 * @param {string} url
 * @param {XMLHttpRequestBodyInit} body
 * @param {RequestOptions & {contentType?: string,
 *   onSent?: (sent: number, total: number) => void}} [options]
 *   `onSent` hears how many bytes have left; it needs XMLHttpRequest
 * @returns {Promise<Record<string, any>>}
 */
export async function upload(url, body, options = {}) {
  const { contentType, onSent, headers, ...rest } = options;
  const type = contentType || (body instanceof Blob && body.type);
  const response = await request(url, {
    fetch: onSent && reportingFetch(onSent),
    ...rest,
    method: "POST",
    body,
    headers: {
      Prefer: "respond-async",
      ...(type && { "Content-Type": type }),
      ...headers,
    },
  });
  return response.json();
}

/**
 * Asks for the end of a job. Resolves to its status: `CANCELLED`, `CANCELLING` while a
 * batch is being written, or the state that it had reached.
 * @param {string} statusUrl
 * @param {RequestOptions} [options]
 * @returns {Promise<Record<string, any>>}
 */
export async function cancel(statusUrl, options = {}) {
  const response = await request(statusUrl, { ...options, method: "DELETE" });
  return response.json();
}

/** One socket, many subscriptions; made by `connect()`. */
export class Connection {
  #url;
  #options;
  #ids = 0;
  /** @type {Link | null} */
  #link = null;

  /**
   * @param {string} url
   * @param {ConnectOptions} [options]
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.#options = options;
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  /**
   * @param {string} url the path of a streamable resource, with its query
   * @param {SubscribeOptions} [options]
   */
  subscribe(url, options = {}) {
    return untilEnd(this.#frames(url, options), options);
  }

  /** Ends every subscription with an AbortError. A later one opens the socket again. */
  close() {
    this.#link?.close(() => new DOMException("The connection was closed.", "AbortError"));
  }

  /**
   * @param {string} url
   * @param {SubscribeOptions} options
   */
  async *#frames(url, { signal, cursor = null, live = false }) {
    signal?.throwIfAborted();
    this.#options.signal?.throwIfAborted();

    if (!this.#link?.open) {
      this.#link = new Link(this.#url, this.#options);
    }

    const link = this.#link;
    const id = String(++this.#ids);
    const inbox = new Inbox(this.#options.queueSize ?? 1000);
    const abort = () => inbox.fail(signal?.reason);
    signal?.addEventListener("abort", abort);
    link.subscribe(id, inbox, { url, cursor, live });

    try {
      yield* inbox;
    } finally {
      signal?.removeEventListener("abort", abort);
      link.unsubscribe(id);
    }
  }
}

/** The life of one WebSocket, in the framing of graphql-transport-ws. */
class Link {
  open = true;
  #socket;
  #acknowledged = false;
  #heard = true;
  /** @type {Map<string, {inbox: Inbox, payload: object}>} */
  #subscriptions = new Map();

  /**
   * @param {string} url
   * @param {ConnectOptions} options
   */
  constructor(url, { WebSocket = globalThis.WebSocket, headers = {}, keepAlive = 20000 }) {
    const socket = new WebSocket(socketAddress(url), "graphql-transport-ws");
    socket.onopen = () => this.#send({ type: "connection_init", payload: { headers } });
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = (event) => this.close(() => closedError(event));
    this.#socket = socket;
    this.timer = setInterval(() => this.#checkLife(), keepAlive);
  }

  /**
   * @param {string} id
   * @param {Inbox} inbox
   * @param {object} payload
   */
  subscribe(id, inbox, payload) {
    this.#subscriptions.set(id, { inbox, payload });

    if (this.#acknowledged) {
      this.#send({ id, type: "subscribe", payload });
    }
  }

  /** @param {string} id */
  unsubscribe(id) {
    if (this.#subscriptions.delete(id) && this.#acknowledged) {
      this.#send({ id, type: "complete" });
    }
  }

  /** @param {() => unknown} reason makes the error of each subscription */
  close(reason) {
    this.open = false;
    clearInterval(this.timer);
    this.#socket.close();

    for (const { inbox } of this.#subscriptions.values()) {
      inbox.close(reason());
    }

    this.#subscriptions.clear();
  }

  /** @param {string} text */
  #receive(text) {
    if (!this.open) {
      return;
    }

    this.#heard = true;
    const { type, id, payload } = this.#parse(text);

    if (type === "connection_ack") {
      this.#acknowledged = true;
      this.#subscriptions.forEach(({ payload }, id) =>
        this.#send({ id, type: "subscribe", payload }),
      );
    } else if (type === "ping") {
      this.#send({ type: "pong", ...(payload && { payload }) });
    } else {
      this.#deliver(id, type, payload);
    }
  }

  /**
   * A message for a subscription that is gone was on its way when it went.
   * @param {string} id
   * @param {string} type
   * @param {any} payload
   */
  #deliver(id, type, payload) {
    const inbox = this.#subscriptions.get(id)?.inbox;

    if (type === "next" && inbox) {
      this.#put(id, inbox, payload);
    } else if (type === "complete" && inbox) {
      this.#subscriptions.delete(id);
      inbox.close(cutError());
    } else if (type === "error" && inbox) {
      this.#subscriptions.delete(id);
      inbox.close(new ProblemError({ status: 500, ...payload[0] }));
    }
  }

  /**
   * @param {string} id
   * @param {Inbox} inbox
   * @param {Frame} frame
   */
  #put(id, inbox, frame) {
    if (!inbox.put(frame)) {
      this.unsubscribe(id);
    } else if (frame.type === "end") {
      this.#subscriptions.delete(id);
      inbox.close(cutError());
    }
  }

  /** @param {string} text */
  #parse(text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      this.close(() => cutError(error));
      return {};
    }
  }

  #checkLife() {
    if (!this.#heard) {
      this.close(() => new StreamInterruptedError("The socket has gone silent."));
      return;
    }

    this.#heard = false;
    this.#send({ type: "ping" });
  }

  /** @param {object} message */
  #send(message) {
    if (this.#socket.readyState === 1) {
      this.#socket.send(JSON.stringify(message));
    }
  }
}

/** Frames on their way from the socket to the reader of one subscription. */
class Inbox {
  #size;
  /** @type {Frame[]} */
  #frames = [];
  /** @type {{error: unknown} | null} */
  #closed = null;
  #wake = () => {};

  /** @param {number} size */
  constructor(size) {
    this.#size = size;
  }

  /**
   * A snapshot of a job replaces one that still waits: it is complete.
   * @param {Frame} frame
   * @returns {boolean} whether there was room
   */
  put(frame) {
    const last = this.#frames.at(-1);

    if (frame.type === "progress" && last?.type === "progress") {
      this.#frames.pop();
    }

    if (this.#frames.length === this.#size) {
      this.close(
        new StreamInterruptedError(`More than ${this.#size} frames wait to be read.`),
      );
      return false;
    }

    this.#frames.push(frame);
    this.#wake();
    return true;
  }

  /**
   * The error comes after the frames that wait.
   * @param {unknown} error
   */
  close(error) {
    this.#closed ??= { error };
    this.#wake();
  }

  /**
   * The error comes at once.
   * @param {unknown} error
   */
  fail(error) {
    this.#frames = [];
    this.#closed = { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const frame = this.#frames.shift();

      if (frame) {
        yield frame;
      } else if (this.#closed) {
        throw this.#closed.error;
      } else {
        await /** @type {Promise<void>} */ (
          new Promise((resolve) => {
            this.#wake = resolve;
          })
        );
      }
    }
  }
}

/**
 * Passes frames on until `end`, and knows what is owed when there is none.
 * @param {AsyncGenerator<Frame, void, void>} frames
 * @param {{signal?: AbortSignal, cursor?: string | null}} options
 * @returns {AsyncGenerator<Frame, void, void>}
 */
async function* untilEnd(frames, { signal, cursor }) {
  let ended = false;

  try {
    while (!ended) {
      const { value: frame } = await frames.next();

      if (!frame) {
        throw cutError();
      }

      cursor = frame.cursor === undefined ? cursor : frame.cursor;
      ended = frame.type === "end";
      yield frame;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw interrupted(error, cursor);
  } finally {
    await (ended ? finish(frames) : frames.return());
  }
}

/**
 * Reads past the end, without waiting: a body that is left there would be taken for
 * aborted, and its connection be closed.
 * @param {AsyncGenerator<Frame, void, void>} frames
 */
function finish(frames) {
  const leave = () => frames.return();
  frames.next().then(leave, leave);
}

/**
 * What `fetch` throws when the line breaks is a TypeError, and a line that was cut is
 * no JSON.
 * @param {unknown} error
 * @param {string | null | undefined} cursor
 */
function interrupted(error, cursor) {
  if (error instanceof TypeError || error instanceof SyntaxError) {
    error = cutError(error);
  }

  if (error instanceof StreamInterruptedError) {
    error.cursor = cursor;
  }

  return error;
}

/** @param {unknown} [cause] */
function cutError(cause) {
  return new StreamInterruptedError("The stream was cut before its end.", { cause });
}

/**
 * 44xx is the server's refusal; every other code is a line that broke.
 * @param {{code: number, reason: string}} event
 */
function closedError({ code, reason }) {
  const detail = reason || `The socket was closed with code ${code}.`;

  return code >= 4400 && code < 4500
    ? new ProblemError({ status: code - 4000, code: "socket_refused", detail })
    : new StreamInterruptedError(detail, { closeCode: code });
}

/**
 * @param {string} url
 * @param {StreamOptions} options
 * @returns {AsyncGenerator<Frame, void, void>}
 */
async function* pageFrames(url, options) {
  let { cursor = null } = options;
  const count = { part: 0, error: 0 };

  do {
    const page = await readPage(resumed(url, { cursor }), options);
    const problems = new Map(page.errors?.map((problem) => [problem.part, problem]));
    const parts = page.results.flatMap((result) => Object.entries(result));
    cursor = page.cursor;

    for (const [index, [name, data]] of parts.entries()) {
      const error = problems.get(name);
      const frame = error ? { type: "error", name, error } : { type: "part", name, data };
      count[error ? "error" : "part"] += 1;
      // Until the last part of a page has been read, the whole page is still owed.
      yield index === parts.length - 1 ? { ...frame, cursor } : frame;
    }
  } while (cursor !== null);

  yield { type: "end", ok: count.part, failed: count.error, cursor, reason: "complete" };
}

/**
 * @param {string} url
 * @param {RequestOptions} options
 * @returns {Promise<{results: Record<string, any>[], cursor: string | null,
 *   errors?: Problem[]}>}
 */
async function readPage(url, options) {
  const response = await request(url, { ...options, accept: "application/json" });
  const page = await response.json();

  if (!Array.isArray(page.results) || page.cursor === undefined) {
    throw unexpected(response, "a page of parts");
  }

  return page;
}

/**
 * A follow-up sends its cursor, which holds the first query, and how it wants the rest.
 * @param {string} url
 * @param {{cursor?: string | null, live?: boolean}} options
 */
function resumed(url, { cursor, live }) {
  const [path, query] = url.split(/\?(.*)/s);
  const first = [...new URLSearchParams(query)];
  const kept = first.filter(([name]) => ["chunk_size", "format", "live"].includes(name));
  const sent = new URLSearchParams(cursor ? [...kept, ["cursor", cursor]] : first);

  if (live) {
    sent.set("live", "1");
  }

  return cursor || live ? `${path}?${sent}` : url;
}

/**
 * @param {string} url
 * @param {RequestOptions & {accept?: string, method?: string, body?: BodyInit}} options
 */
async function request(url, options) {
  const { accept = "application/json", fetch = globalThis.fetch, ...rest } = options;
  const { signal, method, body } = rest;
  const headers = { Accept: accept, ...rest.headers };
  const response = await fetch(url, { method, body, headers, signal });

  if (!response.ok) {
    throw new ProblemError(await problemOf(response));
  }

  return response;
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  const { status, statusText } = response;
  const json = /[/+]json\b/.test(mediaType(response));
  const problem = await (json ? response.json() : response.body?.cancel());
  return { title: statusText, ...problem, status };
}

/**
 * @param {Response} response
 * @param {string} expected
 */
function unexpected(response, expected) {
  return new ProblemError({
    title: "Not a stream",
    status: response.status,
    code: "not_streamable",
    detail: `The answer is ${mediaType(response) || "untyped"}; expected ${expected}.`,
  });
}

/** @param {Response} response */
function mediaType(response) {
  return response.headers.get("Content-Type") ?? "";
}

/**
 * The lines of a body that are not empty, wherever it was cut on its way.
 * @param {ReadableStream<Uint8Array>} body
 */
async function* lines(body) {
  const text = /** @type {ReadableWritablePair<string, Uint8Array>} */ (
    new TextDecoderStream()
  );
  const reader = body.pipeThrough(text).getReader();
  let rest = "";

  try {
    for (;;) {
      const { value = "\n", done } = await reader.read();
      const found = value.split("\n");
      found[0] = rest + found[0];
      rest = /** @type {string} */ (found.pop());
      yield* found.filter((line) => line.trim());

      if (done) {
        return;
      }
    }
  } finally {
    // The reader may have gone because the line did.
    reader.cancel().catch(() => {});
  }
}

/** @param {string} url */
function socketAddress(url) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

/**
 * `fetch` cannot say how much of a body has left; XMLHttpRequest can.
 * @param {(sent: number, total: number) => void} onSent
 * @returns {(url: any, init?: RequestInit) => Promise<Response>}
 */
function reportingFetch(onSent) {
  return (url, { method = "POST", headers, body, signal } = {}) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const sending = new XMLHttpRequest();
      sending.open(method, url);
      sending.responseType = "blob";
      new Headers(headers).forEach((value, name) =>
        sending.setRequestHeader(name, value),
      );
      sending.upload.onprogress = ({ loaded, total }) => onSent(loaded, total);
      sending.onload = () => resolve(answerOf(sending));
      sending.onerror = () => reject(new TypeError("The request could not be sent."));
      sending.onabort = () => reject(signal?.reason);
      signal?.addEventListener("abort", () => sending.abort(), { once: true });
      sending.send(/** @type {XMLHttpRequestBodyInit} */ (body));
    });
}

/** @param {XMLHttpRequest} sent */
function answerOf(sent) {
  const { status, statusText, response } = sent;
  const type = sent.getResponseHeader("Content-Type") ?? "";
  return new Response(status === 204 ? null : response, {
    status,
    statusText,
    headers: { "Content-Type": type },
  });
}
