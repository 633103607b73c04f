import { follow, StreamInterruptedError } from "./django_partstream/partstream.js";

const KEPT = "job";
const TRIES = 8;

/**
 * The snapshots of a job, to its last. A line that breaks is taken up again: the job
 * goes on without us, and every snapshot is complete.
 * @param {{events_url: string}} job
 * @param {{socket: import("./django_partstream/partstream.js").Connection,
 *   signal: AbortSignal, onLost: () => void}} options
 */
export async function* snapshots(job, { socket, signal, onLost }) {
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const frame of follow(job.events_url, { socket, signal })) {
        if (frame.type === "progress") {
          tries = 0;
          yield frame;
        } else if (frame.type === "end" && frame.reason === "complete") {
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof StreamInterruptedError) || tries === TRIES) {
        throw error;
      }

      onLost();
    }

    await pause(Math.random() * Math.min(8000, 500 * 2 ** tries), signal);
  }
}

/** Remembers a job for as long as the tab lives, so that a reload goes on with it. */
export function keepJob(job) {
  sessionStorage.setItem(KEPT, JSON.stringify(job));
}

export function keptJob() {
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
}

export function forgetJob() {
  sessionStorage.removeItem(KEPT);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
