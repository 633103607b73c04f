/** The shapes that go in and out of partstream.js. They have no code. */

/** A problem document (RFC 9457); further members are the server's own. */
export interface Problem {
  /** 0: the line broke, and nobody answered. */
  status: number;
  type?: string;
  title?: string;
  detail?: string;
  code?: string;
  part?: string;
  [member: string]: any;
}

/** The snapshot of a job. `SENDING` is the state of a file that is on its way. */
export interface Job {
  state:
    | "SENDING"
    | "PENDING"
    | "PROGRESS"
    | "SUCCESS"
    | "FAILURE"
    | "CANCELLING"
    | "CANCELLED";
  progress?: {
    current: number;
    total: number;
    percentage: number;
    rows_per_second?: number | null;
    eta_seconds?: number | null;
    [member: string]: any;
  };
  result?: Record<string, any>;
  message?: string;
  status_url?: string;
  events_url?: string;
  results_url?: string;
  [member: string]: any;
}

/** What to hand to any transport for the rest; null: nothing is owed. */
export type Cursor = string | null;

/** What will come, in declared order. */
export interface StartFrame {
  type: "start";
  v: number;
  parts: string[];
  cursor: Cursor;
}

/** A part is complete. With `count` and no `data` it closes a list of `items`. */
export interface PartFrame {
  type: "part";
  name: string;
  data?: any;
  count?: number;
  cursor?: Cursor;
  /** The server's milliseconds of work; pages do not say. */
  ms?: number;
}

/** Some of a list; `seq` 0 begins it, or begins it again. */
export interface ItemsFrame {
  type: "items";
  name: string;
  seq: number;
  items: any[];
}

/** A part failed; the others go on. */
export interface ErrorFrame {
  type: "error";
  name: string;
  error: Problem;
  cursor?: Cursor;
  ms?: number;
}

/** A job moved on: all of it, never a difference. */
export interface ProgressFrame extends Job {
  type: "progress";
  seq: number;
}

/** Everything has come once; the stream stays open for changes. */
export interface LiveFrame {
  type: "live";
}

/** Always last. */
export interface EndFrame {
  type: "end";
  ok: number;
  failed: number;
  cursor: Cursor;
  reason: "complete";
}

export type Frame =
  | StartFrame
  | PartFrame
  | ItemsFrame
  | ErrorFrame
  | ProgressFrame
  | LiveFrame
  | EndFrame;

export type Transport = "websocket" | "ndjson" | "pages";

export interface RequestOptions {
  /** Ends the work, on the server too. */
  signal?: AbortSignal | undefined;
  /** Or a function that is asked for them at each attempt. */
  headers?: Headers | (() => Headers | Promise<Headers>) | undefined;
  fetch?: typeof globalThis.fetch | undefined;
}

export type Headers = Record<string, string>;

export interface StreamOptions extends RequestOptions {
  /** Only what this cursor still owes. */
  cursor?: Cursor | undefined;
  /** Stay for changes after everything has come. */
  live?: boolean | undefined;
  /** From `connect()`: the first choice while it works. */
  socket?: Socket | undefined;
  /** This one and no other. Else the best that works: the socket, NDJSON, pages. */
  transport?: Transport | undefined;
  /** Hears each frame before the iterator gives it. */
  onFrame?: (frame: Frame) => void;
  /** Hears of each attempt before its wait. */
  onAttempt?: (attempt: Attempt) => void;
  /** How often to try again while nothing new comes. @default 10 */
  tries?: number;
  /** Milliseconds without a frame until the next transport is tried. @default 8000 */
  patience?: number;
  /** Milliseconds between readings of a live resource as pages. @default 30000 */
  poll?: number;
  /** What is known of the line; streams that share it learn from each other. */
  line?: Line;
}

/** Of one `load()`; it has signals and cursors of its own. */
export type LoadOptions = Omit<StreamOptions, "signal" | "cursor">;

export interface Attempt {
  transport: Transport;
  /** What is still owed; undefined: everything. */
  cursor: Cursor | undefined;
  /** Attempts in a row that brought nothing. */
  tries: number;
  /** Milliseconds before it begins. */
  wait: number;
  /** What ended the one before. */
  error: Error | undefined;
}

export interface Line {
  /** Something on the way holds streams back until they end. */
  held?: boolean;
}

export interface UploadOptions extends StreamOptions {
  /** The type of the file, where it does not say so itself. */
  contentType?: string;
  /** Hears how far it is: first the sending, then the job. */
  onProgress?: (job: Job) => void;
}

export interface ConnectOptions {
  /** Sent with `connection_init`; a function is asked each time the socket opens. */
  headers?: RequestOptions["headers"];
  WebSocket?: typeof globalThis.WebSocket;
  /** Frames that may wait for a slow reader of one subscription. @default 1000 */
  queueSize?: number;
  /**
   * Milliseconds of silence until the server is asked for a sign of life; twice that
   * is a lost line. @default 10000
   */
  keepAlive?: number;
}

/** One socket for many subscriptions. */
export interface Socket {
  /** The frames of one subscription, as they come; `stream()` is what reads them. */
  frames(url: string, options: StreamOptions): AsyncIterable<any>;
  /** Ends every subscription with an AbortError. A later one opens the socket again. */
  close(): void;
}

/** What is known of one part. */
export interface Part<Data = any> {
  /** `stale`: there is a value, and a newer one is on its way. */
  state: "loading" | "ok" | "failed" | "stale";
  /** The last good value. */
  data?: Data;
  /** What has come so far of a list that is on its way. */
  items?: any[];
  /** Why it failed. */
  error?: Problem;
  /** The server's milliseconds of work. */
  ms?: number | undefined;
}

/** What is known of a resource. It never changes: a new one takes its place. */
export interface Snapshot {
  /** `live`: all has come, and changes will. `failed`: given up, see `error`. */
  status: "loading" | "ok" | "live" | "failed";
  parts: Record<string, Part>;
  /** How far a job is. */
  progress?: ProgressFrame;
  error?: Error | undefined;
}

/** Fits `useSyncExternalStore`. */
export interface Store {
  get(): Snapshot;
  /** The first subscriber begins to load; the last one to leave ends it. */
  subscribe(listener: () => void): () => void;
  /** Everything again. Resolves when it has ended, and never rejects. */
  reload(): Promise<Snapshot>;
  /** These parts again, or those that failed; the others stay as they are. */
  retry(...names: string[]): Promise<Snapshot>;
}
