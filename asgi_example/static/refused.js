import { records } from "./django_partstream/partstream.js";
import { byId, element } from "./element.js";
import { counted, whole } from "./numbers.js";

const SHOWN = 50;
const READ = 10000;
const REASONS = 8;

export function hideRefused() {
  byId("refused").hidden = true;
}

/**
 * The refused rows of a job: why, the first of them, and all of them as files.
 * @param {string} resultsUrl
 * @param {number} total
 * @param {AbortSignal} signal
 */
export async function showRefused(resultsUrl, total, signal) {
  const section = byId("refused");
  const { rows, reasons, read } = await readRefused(resultsUrl, signal);
  section.replaceChildren(
    element(
      "h3",
      { id: "refused-title" },
      element("span", { "data-testid": "refused-total" }, whole(total)),
      total === 1 ? " row was refused" : " rows were refused",
    ),
    element("p", { class: "note" }, explanation(total, read)),
    reasonList(reasons),
    downloads(resultsUrl),
    rowTable(rows),
    element("p", { class: "note", "data-testid": "refused-shown" }, shown(rows, total)),
  );
  section.hidden = false;
}

async function readRefused(resultsUrl, signal) {
  const rows = [];
  const reasons = new Map();
  let read = 0;

  for await (const row of records(refusedAddress(resultsUrl), { signal })) {
    read += 1;

    if (rows.length < SHOWN) {
      rows.push(row);
    }

    for (const { field, value } of errorsOf(row)) {
      const reason = `${field} ${value}`;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }

    if (read === READ) {
      break;
    }
  }

  return { rows, reasons, read };
}

/**
 * @param {string} resultsUrl
 * @param {"csv" | "ndjson"} [format]
 */
export function refusedAddress(resultsUrl, format) {
  const address = new URL(resultsUrl, location.href);
  address.searchParams.set("outcome", "failed");

  if (format) {
    address.searchParams.set("format", format);
  }

  return address.pathname + address.search;
}

function explanation(total, read) {
  const scope = read < total ? ` (counted over the first ${whole(read)})` : "";
  return (
    `Counted by column and value${scope}. ` +
    "Correct the downloaded file and send it again as it is."
  );
}

/** Every error of a row, with the column that it is about and what stood there. */
function errorsOf(row) {
  return row.errors.map(({ pointer = "", detail }) => {
    const field = pointer.slice(1) || "row";
    return { field, value: valueOf(row.data, field), detail };
  });
}

function valueOf(data, field) {
  const value = data?.[field];
  return value === undefined || value === null || value === "" ? "(empty)" : value;
}

function reasonList(reasons) {
  const most = [...reasons].sort((one, other) => other[1] - one[1]);
  const rest = most.slice(REASONS).reduce((sum, [, count]) => sum + count, 0);
  const items = most
    .slice(0, REASONS)
    .map(([reason, count]) => reasonItem(reason, count));
  return element(
    "ul",
    { class: "reasons", "data-testid": "refused-reasons" },
    ...items,
    rest ? reasonItem("others", rest) : null,
  );
}

function reasonItem(reason, count) {
  return element("li", {}, reason, element("strong", {}, whole(count)));
}

function downloads(resultsUrl) {
  return element(
    "p",
    { class: "downloads" },
    downloadLink(resultsUrl, "csv", "Download as CSV"),
    downloadLink(resultsUrl, "ndjson", "Download as NDJSON"),
  );
}

function downloadLink(resultsUrl, format, text) {
  return element(
    "a",
    {
      class: "button quiet",
      href: refusedAddress(resultsUrl, format),
      download: true,
      "data-testid": `download-${format}`,
    },
    text,
  );
}

function rowTable(rows) {
  const head = ["Row", "Line", "Column", "Value", "Flight", "What is wrong"].map((name) =>
    element("th", { scope: "col" }, name),
  );
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "refused-title" },
    element(
      "table",
      { class: "rows", "data-testid": "refused-table" },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows.flatMap(rowLines)),
    ),
  );
}

function rowLines(row) {
  return errorsOf(row).map(({ field, value, detail }) =>
    element(
      "tr",
      { "data-testid": "refused-row" },
      element("td", { class: "number" }, whole(row.row)),
      element("td", { class: "number" }, row.line ? whole(row.line) : "–"),
      element("td", {}, field),
      element("td", {}, element("code", {}, value)),
      element("td", {}, `${row.data?.carrier ?? ""} ${row.data?.flight ?? ""}`),
      element("td", { class: "wide" }, detail),
    ),
  );
}

function shown(rows, total) {
  return rows.length < total
    ? `The first ${counted(rows.length, "row")} of ${whole(total)}.`
    : `All ${counted(total, "row")}.`;
}
