import { element } from "./element.js";
import { whole } from "./numbers.js";

/**
 * Numbers with a name each.
 * @param {[string, number][]} named
 */
export function figures(named) {
  return element(
    "dl",
    { class: "figures" },
    ...named.map(([name, value]) =>
      element(
        "div",
        {},
        element("dt", {}, name),
        element("dd", { "data-figure": name }, whole(value)),
      ),
    ),
  );
}

/**
 * One horizontal bar each, to both sides of zero where there are negative values. It is
 * a list: what is seen is also read.
 * @param {{label: string, note?: string, value: number | null, text: string}[]} items
 * @param {{unit: string, dense?: boolean}} options `dense`: one line an item
 */
export function bars(items, { unit, dense = false }) {
  const place = placesOf(items);
  const lines = items.map(({ label, note, value, text }) =>
    element(
      "li",
      { class: value < 0 ? "below" : null, style: place(value) },
      element("span", { class: "label" }, label),
      element("span", { class: "value" }, text),
      element("span", { class: "bar", "aria-hidden": "true" }),
      note ? element("small", {}, note) : null,
    ),
  );
  return figure(element("ol", { class: dense ? "bars dense" : "bars" }, ...lines), unit);
}

/**
 * One column each, for values along a line such as the hours of a day. A value that is
 * null leaves its place empty.
 * @param {{label: string, value: number | null, short: string, text: string}[]} items
 * @param {{unit: string}} options
 */
export function columns(items, { unit }) {
  const place = placesOf(items);
  const lines = items.map(({ label, value, short, text }) =>
    element(
      "li",
      { class: value < 0 ? "below" : null, style: place(value), title: text },
      element("span", { class: "unseen" }, text),
      element(
        "span",
        { class: "bar", "aria-hidden": "true" },
        element("span", { class: "value" }, short),
      ),
      element("span", { class: "label", "aria-hidden": "true" }, label),
    ),
  );
  return figure(element("ol", { class: "columns" }, ...lines), unit);
}

/**
 * @param {string[]} head
 * @param {(Node | string)[][]} rows the first cell names its row
 */
export function table(head, rows) {
  return element(
    "table",
    { class: "plain" },
    element(
      "thead",
      {},
      element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name))),
    ),
    element(
      "tbody",
      {},
      ...rows.map(([name, ...cells]) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, name),
          ...cells.map((cell) => element("td", {}, cell)),
        ),
      ),
    ),
  );
}

function figure(list, unit) {
  return element("figure", {}, list, element("figcaption", { class: "note" }, unit));
}

/** Where a value's bar begins and how long it is, in percent of the whole. */
function placesOf(items) {
  const values = items.map(({ value }) => value ?? 0);
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const percent = (value) => `${(100 * value) / (high - low || 1)}%`;
  return (value) => {
    const from = percent(Math.min(value ?? 0, 0) - low);
    return `--from: ${from}; --size: ${percent(Math.abs(value ?? 0))}`;
  };
}
