// How somebody who writes TypeScript uses what ships. Compiled, never run.

import {
  connect,
  follow,
  load,
  merge,
  ProblemError,
  records,
  stream,
  StreamInterruptedError,
  upload,
  type Frame,
  type Part,
  type Snapshot,
} from "../../src/django_partstream/static/django_partstream/partstream.js";

import * as react from "../../src/django_partstream/static/django_partstream/react.js";
import * as vue from "../../src/django_partstream/static/django_partstream/vue.js";

export function useOrders(): Part[] {
  const { parts, retry, status } = react.useParts("/api/dashboard/", { live: true });
  const again: Promise<Snapshot> = retry("orders");
  const { job, cancel } = react.useJob("/api/operations/1/events/");
  void [again, status === "live", job?.progress?.percentage, cancel];

  // @ts-expect-error: there is no such status
  status === "done";

  return Object.values(parts);
}

export function setup(url: () => string): Part | undefined {
  const { parts, reload } = vue.useParts(url, () => ({ live: true }));
  void [reload, vue.useJob("/api/operations/1/events/").job.value?.state];
  return parts.value["orders"];
}

const socket = connect("/ws/partstream/", { keepAlive: 5000 });

export async function names(signal: AbortSignal): Promise<string[]> {
  const seen: string[] = [];

  for await (const frame of stream("/api/dashboard/", { signal, socket, live: true })) {
    if (frame.type === "part" || frame.type === "error") {
      seen.push(frame.name);
    } else if (frame.type === "start") {
      seen.push(...frame.parts);
    } else if (frame.type === "end") {
      const counted: number = frame.ok + frame.failed;
      seen.push(String(counted));
    }

    // @ts-expect-error: not every frame has a name
    seen.push(frame.name);
  }

  return seen;
}

export function stateOf(name: string): Part["state"] | undefined {
  const store = load("/api/dashboard/", { headers: async () => ({ Authorization: "x" }) });
  const leave: () => void = store.subscribe(() => {});
  leave();
  const snapshot: Snapshot = store.get();
  return snapshot.parts[name]?.state;
}

export async function outcome(file: File): Promise<number> {
  try {
    const job = await upload("/api/flights/", file, {
      onProgress: ({ state, progress }) => {
        const percentage: number | undefined = progress?.percentage;
        return state === "SENDING" ? percentage : 100;
      },
    });

    for await (const row of records(`${job.results_url}?outcome=failed`)) {
      row.errors;
    }

    return job.result?.["error_count"] ?? 0;
  } catch (error) {
    if (error instanceof ProblemError) {
      const status: number = error.status;
      return status;
    }

    if (error instanceof StreamInterruptedError) {
      const cursor: string | null | undefined = error.cursor;
      return cursor === null ? 0 : 1;
    }

    throw error;
  }
}

export const merged = (frames: Frame[]): Snapshot =>
  frames.reduce(merge, { status: "loading", parts: {} });

// @ts-expect-error: an address is a text
load(5);

// @ts-expect-error: there is no such transport
follow("/api/operations/1/events/", { transport: "carrier pigeon" });
