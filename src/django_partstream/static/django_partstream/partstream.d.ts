/**
 * The browser's side of django-partstream: everything slow is a stream of frames,
 * whatever carries them. No DOM, no framework, no dependency in here.
 *
 * What ships is this file, compiled and made small: `make client`.
 */
import type { ConnectOptions, Cursor, Frame, Job, LoadOptions, Problem, RequestOptions, Snapshot, Socket, Store, StreamOptions, UploadOptions } from "./types.js";
export type * from "./types.js";
/** The server refused. */
export declare class ProblemError extends Error {
    name: string;
    problem: Problem;
    status: number;
    code: string;
    detail: string;
    /** Milliseconds until it may be asked again. */
    retryAfter: number | undefined;
    constructor(problem: Problem, retryAfter?: number);
}
/** The line broke, and stayed broken. What was received stays good. */
export declare class StreamInterruptedError extends Error {
    name: string;
    /** What is still owed: hand it to any transport. undefined: everything. */
    cursor?: Cursor | undefined;
    problem: Problem;
    constructor(message?: string, cause?: unknown);
}
/**
 * The frames of a resource as if its line had never been cut: `start`, …, `end`.
 *
 * Throws ProblemError where the server refused, StreamInterruptedError where the line
 * stayed broken, and the signal's reason after an abort.
 */
export declare function stream(url: string, options?: StreamOptions): AsyncGenerator<Frame, void, void>;
export { stream as follow };
/** A store of what a resource has brought so far. */
export declare function load(url: string, options?: LoadOptions): Store;
/** What a frame makes of a snapshot, which stays as it is. */
export declare function merge(state: Snapshot, frame: Frame): Snapshot;
/** The records of any NDJSON answer, as they arrive. */
export declare function records(url: string, options?: RequestOptions): AsyncGenerator<any, void, void>;
/** Sends a file, follows the job that it becomes, and resolves to its outcome. */
export declare function upload(url: string, file: XMLHttpRequestBodyInit, { contentType, onProgress, ...options }?: UploadOptions): Promise<Job>;
/** Asks for the end of a job. Resolves to its status: `CANCELLING` while a batch is
 * being written. */
export declare function cancel(statusUrl: string, options?: RequestOptions): Promise<Job>;
/** Opens with the first subscription, and again with the next after it was lost. */
export declare function connect(socketUrl: string, options?: ConnectOptions): Socket;
