const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ONE_DIGIT = new Intl.NumberFormat("en", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

/** 27004 → 27,004 */
export function whole(value) {
  return WHOLE.format(value);
}

/** 12.34 → 12.3 */
export function decimal(value) {
  return ONE_DIGIT.format(value);
}

/** 1, "row" → 1 row; 680, "row" → 680 rows */
export function counted(value, noun) {
  return `${whole(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Time between two moments, in words that fit a table. */
export function milliseconds(value) {
  if (value < 10) {
    return `${decimal(value)} ms`;
  }

  return value < 1000 ? `${whole(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/** 75 → 1 min 15 s */
export function duration(seconds) {
  if (seconds < 1) {
    return "under 1 s";
  }

  const total = Math.round(seconds);
  const minutes = Math.floor(total / 60);
  return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
}

/** 26324 → 26k */
export function thousands(value) {
  return value < 1000 ? whole(value) : `${whole(value / 1000)}k`;
}

/** 2481495 → 2.5 MB */
export function size(bytes) {
  if (bytes < 1000) {
    return counted(bytes, "byte");
  }

  return bytes < 1e6 ? `${whole(bytes / 1000)} kB` : `${decimal(bytes / 1e6)} MB`;
}

/** What a job came to: 26,324 rows stored, 680 refused */
export function outcomeInWords({ created_count, updated_count, ...result }) {
  const parts = [
    `${counted(created_count + updated_count, "row")} stored`,
    result.unchanged_count ? `${whole(result.unchanged_count)} as they were` : "",
    `${whole(result.error_count)} refused`,
  ];
  return parts.filter(Boolean).join(", ");
}
