/**
 * The client as Vue composables. `vue` is imported by that name: a bundler knows it, a
 * page without one says in its import map where it is.
 */
import { type ComputedRef, type MaybeRefOrGetter } from "vue";
import type { Job, LoadOptions, RequestOptions, Snapshot, Store } from "./types.js";
export interface PartsRefs extends Pick<Store, "reload" | "retry"> {
    status: ComputedRef<Snapshot["status"]>;
    parts: ComputedRef<Snapshot["parts"]>;
    error: ComputedRef<Error | undefined>;
    progress: ComputedRef<Job | undefined>;
}
export interface JobRefs {
    status: ComputedRef<Snapshot["status"]>;
    /** The newest snapshot. */
    job: ComputedRef<Job | undefined>;
    error: ComputedRef<Error | undefined>;
    /** Asks for its end. */
    cancel: (options?: RequestOptions) => Promise<Job>;
}
/** The parts of a view, until the scope ends. Another url or option begins anew. */
export declare function useParts(url: MaybeRefOrGetter<string>, options?: MaybeRefOrGetter<LoadOptions>): PartsRefs;
/** A job, from its `events_url`. */
export declare function useJob(eventsUrl: MaybeRefOrGetter<string>, options?: MaybeRefOrGetter<LoadOptions>): JobRefs;
