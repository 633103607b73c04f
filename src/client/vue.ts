/**
 * The client as Vue composables. `vue` is imported by that name: a bundler knows it, a
 * page without one says in its import map where it is.
 */

import {
  computed,
  shallowRef,
  toValue,
  watch,
  type ComputedRef,
  type MaybeRefOrGetter,
} from "vue";

import { cancel, load } from "./partstream.js";
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
export function useParts(
  url: MaybeRefOrGetter<string>,
  options: MaybeRefOrGetter<LoadOptions> = {},
): PartsRefs {
  let store!: Store;
  const snapshot = shallowRef<Snapshot>({ status: "loading", parts: {} });

  watch(
    () => [toValue(url), toValue(options)] as const,
    ([url, options], _, onCleanup) => {
      const own = load(url, options);
      const show = () => {
        snapshot.value = own.get();
      };
      store = own;
      onCleanup(own.subscribe(show));
      show();
    },
    { immediate: true },
  );

  return {
    status: computed(() => snapshot.value.status),
    parts: computed(() => snapshot.value.parts),
    error: computed(() => snapshot.value.error),
    progress: computed(() => snapshot.value.progress),
    reload: () => store.reload(),
    retry: (...names) => store.retry(...names),
  };
}

/** A job, from its `events_url`. */
export function useJob(
  eventsUrl: MaybeRefOrGetter<string>,
  options: MaybeRefOrGetter<LoadOptions> = {},
): JobRefs {
  const { status, progress, error } = useParts(eventsUrl, options);
  const statusUrl = () => toValue(eventsUrl).replace(/events\/.*$/, "status/");
  return {
    status,
    job: progress,
    error,
    cancel: (options) => cancel(statusUrl(), options),
  };
}
