import { bars, columns, figures, table } from "./charts.js";
import { element } from "./element.js";
import { counted, decimal, thousands, whole } from "./numbers.js";

const MONTHS = new Intl.DateTimeFormat("en", { month: "short", timeZone: "UTC" });
const TWELVE = Array.from({ length: 12 }, (_, index) => index + 1);
const DAY = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeZone: "America/New_York",
});

/** The parts that this page knows, in the order in which the view declares them. */
export const PARTS = {
  overview: { title: "Overview", body: overview },
  busiest_routes: { title: "Busiest routes", body: busiestRoutes },
  delays_by_carrier: { title: "Average delay by carrier", body: delaysByCarrier },
  delays_by_hour: { title: "Average delay by hour of departure", body: delaysByHour },
  monthly: { title: "Month by month", body: monthly },
  slowest_aircraft: { title: "Aircraft with the most delay", body: slowestAircraft },
};

export function partTitle(name) {
  return PARTS[name]?.title ?? name.replaceAll("_", " ");
}

/**
 * The picture of a part, or a plain one of a part that this page does not know.
 * @param {string} name
 * @param {any} data
 */
export function partBody(name, data) {
  if (Array.isArray(data) && data.length === 0) {
    return element("p", { class: "note" }, "No flights yet.");
  }

  return (PARTS[name]?.body ?? anything)(data);
}

function overview({ flights, airlines, airports, planes, first_hour, last_hour }) {
  const span = first_hour
    ? `${DAY.format(new Date(first_hour))} to ${DAY.format(new Date(last_hour))}`
    : "No flights yet: load January above.";
  return element(
    "div",
    {},
    figures([
      ["flights", flights],
      ["airlines", airlines],
      ["airports", airports],
      ["planes", planes],
    ]),
    element("p", { class: "note" }, span),
  );
}

function busiestRoutes(routes) {
  return bars(
    routes.map(({ origin, dest, dest_name, flights }) => ({
      label: `${origin} → ${dest}`,
      note: dest_name,
      value: flights,
      text: whole(flights),
    })),
    { unit: "Flights" },
  );
}

function delaysByCarrier(carriers) {
  const byDelay = (one, other) => (other.average_delay ?? 0) - (one.average_delay ?? 0);
  return bars(
    carriers.toSorted(byDelay).map(({ carrier, name, flights, late, average_delay }) => ({
      label: name ?? carrier,
      note: `${whole((100 * late) / flights)} % late`,
      value: average_delay,
      text: minutes(average_delay),
    })),
    { unit: "Minutes per departure; late means 15 or more", dense: true },
  );
}

function delaysByHour(hours) {
  return columns(
    hours.map(({ hour, flights, average_delay }) => ({
      label: String(hour),
      value: average_delay,
      short: average_delay === null ? "" : whole(average_delay),
      text: `${hour}:00: ${minutes(average_delay)}, ${counted(flights, "flight")}`,
    })),
    { unit: "Minutes per departure, by its scheduled hour" },
  );
}

/** A place for each month of the years that there are, so that what lacks is seen. */
function monthly(months) {
  const years = [...new Set(months.map(({ year }) => year))];
  const places = years.flatMap((year) => TWELVE.map((month) => ({ year, month })));
  const found = new Map(months.map((row) => [`${row.year} ${row.month}`, row]));
  return columns(
    places.map(({ year, month }) => monthOf(year, month, found.get(`${year} ${month}`))),
    { unit: `Flights in ${years.join(", ")}` },
  );
}

function monthOf(year, month, row) {
  const name = MONTHS.format(new Date(Date.UTC(year, month - 1)));
  const about = row
    ? `${counted(row.flights, "flight")}, ${whole(row.cancelled)} cancelled, ` +
      `${minutes(row.average_delay)} late`
    : "no flights";
  return {
    label: name,
    value: row?.flights ?? null,
    short: row ? thousands(row.flights) : "",
    text: `${name} ${year}: ${about}`,
  };
}

function slowestAircraft(aircraft) {
  return table(
    ["Aircraft", "Flights", "Minutes each", "Hours in all"],
    aircraft.map(({ tailnum, manufacturer, model, year, ...delays }) => [
      element(
        "span",
        {},
        element("strong", {}, tailnum),
        element("small", {}, [manufacturer, model, year].filter(Boolean).join(" ")),
      ),
      whole(delays.flights),
      decimal(delays.average_delay),
      decimal(delays.delay_minutes / 60),
    ]),
  );
}

/** Whatever it is: a table of a list of objects, else its JSON. */
function anything(data) {
  if (Array.isArray(data) && data.every((row) => row && typeof row === "object")) {
    const names = Object.keys(data[0]);
    return table(
      names,
      data.map((row) => names.map((name) => String(row[name] ?? "–"))),
    );
  }

  return element("pre", {}, JSON.stringify(data, null, 2));
}

function minutes(value) {
  return value === null ? "unknown" : `${decimal(value)} min`;
}
