/**
 * The client as React hooks. `react` is imported by that name: a bundler knows it, a
 * page without one says in its import map where it is.
 */
import type { Job, LoadOptions, RequestOptions, Snapshot, Store } from "./types.js";
export type PartsState = Snapshot & Pick<Store, "reload" | "retry">;
export interface JobState {
    status: Snapshot["status"];
    /** The newest snapshot. */
    job: Job | undefined;
    error: Error | undefined;
    /** Asks for its end. */
    cancel: (options?: RequestOptions) => Promise<Job>;
}
/**
 * The parts of a view, for as long as the component is there. Another url, `live`,
 * `socket` or `transport` begins anew; a change of the other options does not.
 */
export declare function useParts(url: string, options?: LoadOptions): PartsState;
/** A job, from its `events_url`. */
export declare function useJob(eventsUrl: string, options?: LoadOptions): JobState;
