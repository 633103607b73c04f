/** What the states of a job are called here, and how they look. */
export const WORDS = {
  PENDING: ["Waiting for a worker", "waiting"],
  PROGRESS: ["Loading", "running"],
  SUCCESS: ["Finished", "done"],
  FAILURE: ["Failed", "failed"],
  CANCELLING: ["Cancelling", "waiting"],
  CANCELLED: ["Cancelled", "stopped"],
};

export const RUNNING = new Set(["PENDING", "PROGRESS", "CANCELLING"]);
