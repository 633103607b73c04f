/** Jobs that this browser knows of, the newest first: nobody has a list of the jobs of
 * visitors without a name. A page that is reloaded goes on with them. */

const KEPT = "jobs";
const MOST = 6;

/** @typedef {{task_id: string, name: string, status_url: string, events_url: string,
 *   results_url: string}} Job */

/** @param {Job} job */
export function keepJob({ task_id, name, status_url, events_url, results_url }) {
  const job = { task_id, name, status_url, events_url, results_url };
  write([job, ...keptJobs().filter((kept) => kept.task_id !== task_id)]);
}

/** @returns {Job[]} */
export function keptJobs() {
  return JSON.parse(localStorage.getItem(KEPT) ?? "[]");
}

/** @param {string} id */
export function forgetJob(id) {
  write(keptJobs().filter(({ task_id }) => task_id !== id));
}

function write(jobs) {
  localStorage.setItem(KEPT, JSON.stringify(jobs.slice(0, MOST)));
}
