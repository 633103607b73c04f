/**
 * The browser's side of django-partstream: everything slow is a stream of frames,
 * whatever carries them. No DOM, no framework, no dependency in here.
 *
 * What ships is this file, compiled and made small: `make client`.
 */

import type {
  ConnectOptions,
  Cursor,
  EndFrame,
  Frame,
  Headers,
  Job,
  Line,
  LoadOptions,
  Part,
  Problem,
  RequestOptions,
  Snapshot,
  Socket,
  Store,
  StreamOptions,
  Transport,
  UploadOptions,
} from "./types.js";

export type * from "./types.js";

/** The server refused. */
export class ProblemError extends Error {
  override name = "ProblemError";
  problem: Problem;
  status: number;
  code: string;
  detail: string;
  /** Milliseconds until it may be asked again. */
  retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    const { status, title, code = "error", detail = "" } = problem;
    super(detail || title || `The server answered ${status}.`);
    this.problem = problem;
    this.retryAfter = retryAfter;
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/** The line broke, and stayed broken. What was received stays good. */
export class StreamInterruptedError extends Error {
  override name = "StreamInterruptedError";
  /** What is still owed: hand it to any transport. undefined: everything. */
  cursor?: Cursor | undefined;
  problem: Problem;

  constructor(message = "The stream was cut before its end.", cause?: unknown) {
    super(message, { cause });
    this.problem = { status: 0, code: "interrupted", detail: message };
  }
}

/** Where one reader stands, whatever carries its frames. */
interface Reading {
  cursor?: Cursor | undefined;
  /** Parts that are closed, with the type of the frame that closed them. */
  closed: Map<string, string>;
  started?: boolean;
  heard?: boolean;
  seq: number;
  tries: number;
  end?: EndFrame;
}

/** A frame as it comes from outside. */
type Wire = any;

type Carrier = (url: string, options: StreamOptions) => AsyncIterable<Wire>;

/**
 * The frames of a resource as if its line had never been cut: `start`, …, `end`.
 *
 * Throws ProblemError where the server refused, StreamInterruptedError where the line
 * stayed broken, and the signal's reason after an abort.
 */
export async function* stream(
  url: string,
  options: StreamOptions = {},
): AsyncGenerator<Frame, void, void> {
  const { signal, socket, live, line = {}, tries = 10, poll = 30000 } = options;
  const run: Reading = { cursor: options.cursor, closed: new Map(), seq: -1, tries: 0 };
  let offSocket = !socket;
  let wait = 0;
  let error: any;

  if (options.transport === "websocket" && !socket) {
    throw new TypeError('transport is "websocket"; expected a socket from connect().');
  }

  for (;;) {
    const below = line.held ? "pages" : "ndjson";
    const transport = options.transport ?? (offSocket ? below : "websocket");
    options.onAttempt?.({ transport, cursor: run.cursor, tries: run.tries, wait, error });
    await pause(wait, signal);
    error = yield* attempt(run, url, transport, { ...options, line });
    signal?.throwIfAborted();
    offSocket = !socket;
    wait = 0;

    if (!error && live && transport === "pages") {
      const told: Frame = { type: "live" };
      options.onFrame?.(told);
      yield told;
      run.cursor = undefined;
      wait = poll;
    } else if (!error || (run.cursor === null && run.closed.size && !live)) {
      // Where nothing is owed, only the end was lost.
      const end = endOf(run);
      options.onFrame?.(end);
      yield end;
      return;
    } else if (run.cursor && /^cursor_/.test(error.code)) {
      run.cursor = undefined;
    } else if (
      !run.heard &&
      !options.transport &&
      (transport === "websocket" ? isDown(error) : transport === "ndjson" && line.held)
    ) {
      offSocket = true;
    } else {
      error.cursor = run.cursor;
      wait = delay(error, run.tries++, tries);
    }
  }
}

export { stream as follow };

/** One try. Returns what ended it, if that was not the end. */
async function* attempt(
  run: Reading,
  url: string,
  transport: Transport,
  options: StreamOptions & { line: Line },
): AsyncGenerator<Frame, unknown, void> {
  const { signal, line, patience = 8000 } = options;
  const { cursor } = run;
  const carriers = { websocket: options.socket?.frames, ndjson: records, pages };
  const late = new AbortController();
  const timer =
    options.transport || transport === "pages"
      ? undefined
      : setTimeout(() => {
          line.held = transport === "ndjson";
          late.abort(new StreamInterruptedError(`No frame in ${patience} ms.`));
        }, patience);
  const both = AbortSignal.any(signal ? [signal, late.signal] : [late.signal]);
  run.heard = false;

  try {
    const carrier = carriers[transport] as Carrier;

    for await (const frame of carrier(url, { ...options, cursor, signal: both })) {
      clearTimeout(timer);
      run.heard = true;
      run.cursor = frame.cursor === undefined ? run.cursor : frame.cursor;

      if (frame.type === "end") {
        run.end = frame;
        // A live stream that is refused later says so at its end.
        return frame.reason === "complete"
          ? null
          : frame.error
            ? new ProblemError(frame.error)
            : new StreamInterruptedError(`The server ended the stream: ${frame.reason}.`);
      }

      if (isNew(run, frame, cursor)) {
        options.onFrame?.(frame);
        yield frame;
      }
    }

    return new StreamInterruptedError();
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the reader lacks it. A resumed stream announces only the rest. */
function isNew(run: Reading, frame: Wire, resumed?: Cursor): boolean {
  const { type, name, seq } = frame;

  if (type === "start") {
    const again = run.started && (resumed || !frame.parts.length);
    run.started = true;
    return !again;
  }

  if (type === "ping" || (type === "progress" && seq <= run.seq)) {
    return false;
  }

  run.tries = 0;

  if (type === "progress") {
    run.seq = seq;
  } else if (type === "part" || type === "error") {
    run.closed.set(name, type);
  }

  return true;
}

function endOf({ end, closed }: Reading): EndFrame {
  const failed = [...closed.values()].filter((type) => type === "error").length;
  const counts = { ok: closed.size - failed, failed };
  return { ...counts, ...(!closed.size && end), type: "end", cursor: null, reason: "complete" };
}

/** Whether it says more about the socket than about what was asked for. */
function isDown({ status = 429, code }: { status?: number; code?: string }): boolean {
  return status === 429 || code === "socket_refused";
}

/** How long to wait before the next try. Throws where there should be none. */
function delay(error: any, tries: number, most: number): number {
  const { status, retryAfter } = error;
  const again =
    error instanceof StreamInterruptedError ||
    /50[234]/.test(status) ||
    (status === 429 && retryAfter >= 0);

  if (!again || tries >= most) {
    throw error;
  }

  return (retryAfter ?? 0) + Math.random() * Math.min(30000, 1000 * 2 ** tries);
}

/** Waits, and for the network too; when that comes back, no longer. */
async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const offline = globalThis.navigator?.onLine === false;

  if (ms || offline) {
    await new Promise<void>((resolve) => {
      const over = new AbortController();
      const done = () => {
        clearTimeout(timer);
        over.abort();
        resolve();
      };
      const timer = offline ? undefined : setTimeout(done, ms);
      signal?.addEventListener("abort", done, over);
      globalThis.addEventListener?.("online", done, over);
    });
  }

  signal?.throwIfAborted();
}

/** A store of what a resource has brought so far. */
export function load(url: string, options: LoadOptions = {}): Store {
  const listeners = new Set<() => void>();
  // Whose frames count, by part; "": for all others.
  const owners = new Map<string, AbortController>();
  let state: Snapshot = { status: "loading", parts: {} };
  let begun = false;

  const set = (change: Partial<Snapshot>) => {
    state = { ...state, ...change };
    [...listeners].forEach((listener) => listener());
  };

  const stop = () => {
    owners.forEach((owner) => owner.abort());
    owners.clear();
    begun = state.status === "ok" || state.status === "failed";
  };

  const run = async (names?: string[]) => {
    const owner = new AbortController();
    const { signal } = owner;
    const owns = (name = "") => (owners.get(name) ?? owners.get("")) === owner;

    if (!names) {
      stop();
      begun = true;
      state = { ...state, status: "loading", error: undefined };
    }

    (names ?? [""]).forEach((name) => owners.set(name, owner));
    const asked = names ?? Object.keys(state.parts);
    set({ parts: { ...state.parts, ...waiting(state.parts, asked) } });
    const address = names ? addressOf(url, { parts: names.join() }) : url;
    const live = options.live && !names;

    try {
      for await (const frame of stream(address, { ...options, live, signal })) {
        if (owns(nameOf(frame))) {
          set(merge(state, frame));
        }
      }
    } catch (error) {
      fail(error, owns);
    }

    names?.forEach((name) => owns(name) && owners.delete(name));
    return state;
  };

  const fail = (error: any, owns: (name?: string) => boolean) => {
    const problem = error.problem ?? { status: 0, code: "error", detail: error.message };

    for (const [name, part] of Object.entries(state.parts)) {
      if (owns(name) && (part.state === "loading" || part.state === "stale")) {
        set(merge(state, { type: "error", name, error: problem }));
      }
    }

    if (owns()) {
      set({ status: "failed", error });
    }
  };

  return {
    get: () => state,
    subscribe(listener) {
      listeners.add(listener);

      if (!begun) {
        run();
      }

      return () => {
        listeners.delete(listener);
        // Whoever leaves may come back at once, as in React's StrictMode.
        setTimeout(() => listeners.size || stop());
      };
    },
    reload: () => run(),
    async retry(...names) {
      const entries = Object.entries(state.parts);
      const failed = entries.filter(([, { state }]) => state === "failed");
      const these = names.length ? names : failed.map(([name]) => name);

      if (!names.length && state.status === "failed") {
        return run();
      }

      return these.length ? run(these) : state;
    },
  };
}

/** What a frame makes of a snapshot, which stays as it is. */
export function merge(state: Snapshot, frame: Frame): Snapshot {
  const name = nameOf(frame);
  const old = state.parts[name] ?? { state: "loading" };
  const put = (part: Part) => ({ ...state, parts: { ...state.parts, [name]: part } });

  switch (frame.type) {
    case "start":
      return { ...state, status: "loading", parts: waiting(state.parts, frame.parts) };
    case "items": {
      const before = (frame.seq && old.items) || [];
      return put({ ...old, items: [...before, ...frame.items] });
    }
    case "part":
      return put({
        state: "ok",
        data: "data" in frame ? frame.data : (old.items ?? []),
        ms: frame.ms,
      });
    case "error":
      return put({
        state: "failed",
        data: old.data,
        error: frame.error,
        ms: frame.ms,
      });
    case "progress":
      return { ...state, progress: frame };
    case "live":
      return { ...state, status: "live" };
    case "end":
      return { ...state, status: "ok" };
    default:
      return state;
  }
}

/** Of the part that a frame is about; "" of the others. */
function nameOf(frame: Frame): string {
  return "name" in frame ? frame.name : "";
}

/** These parts, on their way. */
function waiting(parts: Record<string, Part>, names: string[]): Record<string, Part> {
  return Object.fromEntries(
    names.map((name) => {
      const data = parts[name]?.data;
      return [name, { state: data === undefined ? "loading" : "stale", data }];
    }),
  );
}

/** The records of any NDJSON answer, as they arrive. */
export async function* records(
  url: string,
  options: RequestOptions = {},
): AsyncGenerator<any, void, void> {
  const { cursor, live, line = {} }: StreamOptions = options;
  const address = addressOf(url, { cursor, live: live && "1" });
  const { body } = await request(address, options, "application/x-ndjson");
  const text = body!.pipeThrough(new TextDecoderStream() as TransformStream);
  let record: any;
  let rest = "";
  let reads = 0;
  let slowest = 0;
  // What is left unread would be taken for aborted, and its connection be closed.
  const leave = (reader: Reader) =>
    record?.type === "end" ? reader.read() : reader.cancel();

  for await (const piece of pieces<string>(text, leave)) {
    const found = (rest + piece).split("\n");
    rest = found.pop()!;
    reads += 1;

    for (const json of found.filter((text) => text.trim())) {
      record = parse(json);
      slowest = Math.max(slowest, record.ms ?? 0);

      // Work that took so long cannot end as it starts: something held the frames.
      if (record.type === "end" && reads === 1 && slowest > 250) {
        line.held = true;
      }

      yield record;
    }
  }

  if (rest.trim()) {
    yield parse(rest);
  }
}

/** The frames of pages, or of a job that is asked how far it is. */
async function* pages(
  url: string,
  options: StreamOptions,
): AsyncGenerator<Wire, void, void> {
  let { cursor } = options;

  do {
    const response = await request(addressOf(url, { cursor }), options);
    const page = await response.json().catch(interrupt);

    if (page.task_id) {
      yield { type: "progress", ...page };
      cursor = /SUCCESS|FAILURE|CANCELLED/.test(page.state) ? null : undefined;
      await pause(cursor === null ? 0 : 1000, options.signal);
      continue;
    }

    const problems = new Map<string, Problem>(
      page.errors?.map((problem: Problem) => [problem.part, problem]),
    );
    const parts: [string, any][] = page.results.flatMap(Object.entries);
    cursor = page.cursor;

    for (const [index, [name, data]] of parts.entries()) {
      const error = problems.get(name);
      const frame = error ? { type: "error", name, error } : { type: "part", name, data };
      // Until the last part of a page has been read, the whole page is still owed.
      yield index === parts.length - 1 ? { ...frame, cursor } : frame;
    }
  } while (cursor !== null);

  yield { type: "end", ok: 0, failed: 0, cursor, reason: "complete" };
}

/** Sends a file, follows the job that it becomes, and resolves to its outcome. */
export async function upload(
  url: string,
  file: XMLHttpRequestBodyInit,
  { contentType, onProgress, ...options }: UploadOptions = {},
): Promise<Job> {
  const type = contentType || (file instanceof Blob && file.type);
  let job = {} as Job;
  const tell = (news: Partial<Job>) => {
    job = { ...job, ...news };
    onProgress?.(job);
  };
  const response = await request(url, {
    fetch: onProgress && globalThis.XMLHttpRequest && reportingFetch(tell),
    ...options,
    method: "POST",
    body: file,
    own: { Prefer: "respond-async", ...(type && { "Content-Type": type }) },
  });
  // What was told of the sending is past.
  job = {} as Job;
  tell({ state: "PENDING", ...(await response.json().catch(interrupt)) });

  if (response.status === 202) {
    for await (const frame of stream(job.events_url!, options)) {
      if (frame.type === "progress") {
        tell(frame);
      }
    }
  }

  return job;
}

/** Asks for the end of a job. Resolves to its status: `CANCELLING` while a batch is
 * being written. */
export async function cancel(
  statusUrl: string,
  options: RequestOptions = {},
): Promise<Job> {
  return (await request(statusUrl, { ...options, method: "DELETE" })).json();
}

/** Opens with the first subscription, and again with the next after it was lost. */
export function connect(socketUrl: string, options: ConnectOptions = {}): Socket {
  const { WebSocket = globalThis.WebSocket, queueSize = 1000, keepAlive = 10000 } = options;
  const readers = new Map<string, { queue: Queue; payload: object }>();
  let ids = 0;
  let socket: WebSocket | undefined;
  let acknowledged = false;
  let heard = true;
  let timer: ReturnType<typeof setInterval>;

  const send = (message: object) => {
    if (socket?.readyState === 1) {
      socket.send(JSON.stringify(message));
    }
  };

  const subscribe = (id: string) => {
    if (acknowledged) {
      send({ id, type: "subscribe", payload: readers.get(id)!.payload });
    }
  };

  const lose = (makeError: () => unknown) => {
    clearInterval(timer);
    socket?.close();
    socket = undefined;
    readers.forEach(({ queue }) => fail(queue, makeError()));
    readers.clear();
  };

  const open = () => {
    const address = new URL(socketUrl, globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    const own = new WebSocket(address.href, "graphql-transport-ws");
    socket = own;
    acknowledged = false;
    heard = true;
    timer = setInterval(checkLife, keepAlive);
    own.onopen = () =>
      valueOf(options.headers).then(
        (headers) => send({ type: "connection_init", payload: { headers } }),
        (error) => lose(() => error),
      );
    own.onmessage = ({ data }) => {
      try {
        if (own === socket) {
          receive(JSON.parse(data));
        }
      } catch (error) {
        lose(() => new StreamInterruptedError(undefined, error));
      }
    };
    own.onclose = (event) => own === socket && lose(() => closedError(event));
  };

  const checkLife = () => {
    if (!heard) {
      lose(() => new StreamInterruptedError("The socket has gone silent."));
    }

    heard = false;
    send({ type: "ping" });
  };

  const receive = ({ type, id, payload }: Record<string, any>) => {
    const queue = readers.get(id)?.queue;
    heard = true;

    if (type === "connection_ack") {
      acknowledged = true;
      [...readers.keys()].forEach(subscribe);
    } else if (type === "ping") {
      send({ type: "pong", payload });
    } else if (!queue) {
      // It was on its way when its reader left.
    } else if (type === "next" && queue.desiredSize! > 0) {
      queue.enqueue(() => payload);
    } else {
      readers.delete(id);

      if (type === "complete") {
        queue.close();
      } else if (type === "error") {
        fail(queue, new ProblemError({ status: 500, ...payload[0] }));
      } else {
        send({ id, type: "complete" });
        fail(queue, new StreamInterruptedError("Too many frames wait to be read."));
      }
    }
  };

  return {
    close: () =>
      lose(() => new DOMException("The connection was closed.", "AbortError")),

    async *frames(url, { signal, cursor = null, live = false }) {
      signal?.throwIfAborted();
      const id = String(++ids);
      const path = url.replace(/^\w+:\/\/[^/]+/, "");
      const payload = { url: path, cursor, live };
      const frames = new ReadableStream<() => Wire>(
        {
          start(queue) {
            readers.set(id, { queue, payload });
            signal?.addEventListener("abort", () => queue.error(signal.reason));
          },
        },
        { highWaterMark: queueSize },
      );

      if (socket) {
        subscribe(id);
      } else {
        open();
      }

      try {
        for await (const take of pieces(frames)) {
          yield take();
        }
      } finally {
        if (readers.delete(id)) {
          send({ id, type: "complete" });
        }
      }
    },
  };
}

/** Of what gives a frame when it is its turn, or throws. */
type Queue = ReadableStreamDefaultController<() => Wire>;
type Reader = ReadableStreamDefaultReader;

/** The error comes after the frames that wait. */
function fail(queue: Queue, error: unknown): void {
  queue.enqueue(() => {
    throw error;
  });
}

/** What a stream brings, until its reader leaves. */
async function* pieces<T>(
  stream: ReadableStream<T>,
  leave: (reader: Reader) => Promise<unknown> = (reader) => reader.cancel(),
): AsyncGenerator<T, void, void> {
  const reader = stream.getReader();

  try {
    for (;;) {
      const { value, done } = await reader.read().catch(interrupt);

      if (done) {
        return;
      }

      yield value;
    }
  } finally {
    leave(reader).catch(() => {});
  }
}

/** What breaks a line is a TypeError of `fetch`, and a text that was cut no JSON. */
function interrupt(cause: unknown): never {
  throw cause instanceof TypeError || cause instanceof SyntaxError
    ? new StreamInterruptedError(undefined, cause)
    : cause;
}

function parse(text: string): any {
  try {
    return JSON.parse(text);
  } catch (error) {
    return interrupt(error);
  }
}

/** 44xx is the server's refusal; every other code is a line that broke. */
function closedError(event: CloseEvent): Error {
  const { code, reason } = event;
  const detail = reason || `The socket was closed with code ${code}.`;

  return code >= 4400 && code < 4500
    ? new ProblemError({ status: code - 4000, code: "socket_refused", detail })
    : new StreamInterruptedError(detail, event);
}

function addressOf(
  url: string,
  added: Record<string, string | null | undefined | false>,
): string {
  const [path, query] = url.split(/\?(.*)/s);
  const sent = new URLSearchParams(query);
  Object.entries(added).forEach(([name, value]) => value && sent.set(name, value));
  return `${sent}` ? `${path}?${sent}` : path!;
}

interface Asked extends RequestOptions {
  method?: string;
  body?: XMLHttpRequestBodyInit;
  /** Headers of ours. */
  own?: Headers;
}

async function request(
  url: string,
  options: Asked,
  accept = "application/json",
): Promise<Response> {
  const { fetch = globalThis.fetch, signal, method, body, own } = options;
  const headers = { Accept: accept, ...own, ...(await valueOf(options.headers)) };
  const response = await fetch(url, { method, body, headers, signal }).catch(interrupt);
  const { ok, status, statusText: title } = response;
  const type = response.headers.get("Content-Type") ?? "nothing";

  if (ok && type.startsWith(accept)) {
    return response;
  }

  if (ok) {
    response.body?.cancel();
    const detail = `The answer is ${type}; expected ${accept}.`;
    throw new ProblemError({ status, title, code: "not_streamable", detail });
  }

  const after: any = response.headers.get("Retry-After") ?? NaN;
  const wait = isNaN(after) ? Date.parse(after) - Date.now() : after * 1000;
  const problem = /[/+]json/.test(type) && (await response.json().catch(interrupt));
  const known = isNaN(wait) ? undefined : Math.max(0, wait);
  throw new ProblemError({ title, ...problem, status }, known);
}

async function valueOf(headers: RequestOptions["headers"]): Promise<Headers | undefined> {
  return typeof headers === "function" ? headers() : headers;
}

/** `fetch` cannot say how much of a body has left; XMLHttpRequest can. */
function reportingFetch(tell: (news: Job) => void): typeof globalThis.fetch {
  return (url, { method, headers, body, signal }: any = {}) =>
    new Promise((resolve, reject) => {
      const sending = new XMLHttpRequest();
      sending.open(method, String(url));
      Object.entries<string>(headers).forEach((header) =>
        sending.setRequestHeader(...header),
      );
      sending.upload.onprogress = ({ loaded: current, total }) => {
        const percentage = (100 * current) / total;
        tell({ state: "SENDING", progress: { current, total, percentage } });
      };
      sending.onloadend = () => {
        const { status, statusText } = sending;

        if (!status) {
          return reject(signal?.reason ?? new TypeError("The file could not be sent."));
        }

        return resolve({
          ok: status >= 200 && status < 300,
          status,
          statusText,
          headers: { get: (name: string) => sending.getResponseHeader(name) },
          json: async () => JSON.parse(sending.responseText),
        } as Response);
      };
      signal?.addEventListener("abort", () => sending.abort());
      sending.send(body);
    });
}
