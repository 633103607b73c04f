import {
  ProblemError,
  StreamInterruptedError,
} from "./django_partstream/partstream.js";
import { element } from "./element.js";

/** What a visitor can do, by the code of the problem. */
const ADVICE = {
  empty_upload: "Choose a file with a line of column names and at least one row.",
  undecodable: "Save the file as UTF-8 and send it again.",
  not_csv: "Choose a CSV file; a spreadsheet can be saved as one.",
  invalid_columns: "Rename or remove the columns named above and send the file again.",
  invalid_unique_fields: "Reload this page: it may be older than the server.",
  too_large: "Split the file and send the pieces one after the other.",
  too_many_rows: "Split the file and send the pieces one after the other.",
  unsupported_media_type: "Choose a CSV file.",
  not_authenticated: "Log in and try again.",
  authentication_failed: "Log in and try again.",
  permission_denied: "Log in as somebody who may do this.",
  throttled: "Wait a moment and try again.",
  not_found: "It may have been removed; load the file again.",
  job_unavailable: "Try again in a moment.",
  interrupted: "Try again for the rest.",
  unreachable: "Try again in a moment.",
};

/** A proxy in front of the server gives a status and no code. */
const CODES = {
  401: "not_authenticated",
  403: "permission_denied",
  404: "not_found",
  413: "too_large",
  415: "unsupported_media_type",
  429: "throttled",
};

/**
 * Shows what went wrong, in the server's words, and what to do.
 * @param {Element} slot
 * @param {unknown} error
 * @param {{heading: string}} options
 */
export function showProblem(slot, error, { heading }) {
  const { detail, code, name } = told(error);
  const advice = ADVICE[code];
  slot.replaceChildren(
    element(
      "div",
      { class: "problem", "data-testid": "problem", "data-code": code },
      element("strong", {}, heading),
      element("p", { "data-testid": "problem-detail" }, detail),
      advice ? element("p", { "data-testid": "problem-advice" }, advice) : null,
      name ? element("small", { "data-testid": "problem-title" }, name) : null,
    ),
  );
}

/** A problem in words. */
function told(error) {
  if (error instanceof ProblemError) {
    const { problem, detail, status } = error;
    const code = problem.code ?? CODES[status] ?? error.code;
    return { detail, code, name: `${status} ${problem.title ?? ""}` };
  }

  if (error instanceof StreamInterruptedError) {
    const detail = "The connection was lost. What has arrived stays good.";
    return { detail, code: "interrupted" };
  }

  if (error instanceof TypeError) {
    const detail = "The server could not be reached, or it closed the line.";
    return { detail, code: "unreachable" };
  }

  return { detail: error.message, code: "error" };
}
