const KEPT = "job";

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
