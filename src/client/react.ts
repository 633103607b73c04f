/**
 * The client as React hooks. `react` is imported by that name: a bundler knows it, a
 * page without one says in its import map where it is.
 */

import { useCallback, useMemo, useSyncExternalStore } from "react";

import { cancel, load } from "./partstream.js";
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
export function useParts(url: string, options: LoadOptions = {}): PartsState {
  const { live, socket, transport } = options;
  // It does nothing before its first subscriber, so that a render that is thrown away
  // leaves nothing behind.
  const store = useMemo(
    () => load(url, options),
    [url, live, socket, transport],
  );
  const snapshot = useSyncExternalStore(store.subscribe, store.get, store.get);
  const { reload, retry } = store;
  return { ...snapshot, reload, retry };
}

/** A job, from its `events_url`. */
export function useJob(eventsUrl: string, options: LoadOptions = {}): JobState {
  const { status, progress, error } = useParts(eventsUrl, options);
  const statusUrl = eventsUrl.replace(/events\/.*$/, "status/");
  const end = useCallback(
    (options?: RequestOptions) => cancel(statusUrl, options),
    [statusUrl],
  );
  return { status, job: progress, error, cancel: end };
}
