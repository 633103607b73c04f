/**
 * The client as Vue composables. `vue` is imported by that name: a bundler knows it, a
 * page without one says in its import map where it is.
 */
import { computed, shallowRef, toValue, watch, } from "vue";
import { cancel, load } from "./partstream.js";
/** The parts of a view, until the scope ends. Another url or option begins anew. */
export function useParts(url, options = {}) {
    let store;
    const snapshot = shallowRef({ status: "loading", parts: {} });
    watch(() => [toValue(url), toValue(options)], ([url, options], _, onCleanup) => {
        const own = load(url, options);
        const show = () => {
            snapshot.value = own.get();
        };
        store = own;
        onCleanup(own.subscribe(show));
        show();
    }, { immediate: true });
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
export function useJob(eventsUrl, options = {}) {
    const { status, progress, error } = useParts(eventsUrl, options);
    const statusUrl = () => toValue(eventsUrl).replace(/events\/.*$/, "status/");
    return {
        status,
        job: progress,
        error,
        cancel: (options) => cancel(statusUrl(), options),
    };
}
