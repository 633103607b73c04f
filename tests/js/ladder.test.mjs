import assert from "node:assert/strict";
import { test } from "node:test";

import {
  connect,
  follow,
  stream,
} from "../../src/django_partstream/static/django_partstream/partstream.js";
import {
  bytes,
  collect,
  collectUntilError,
  fakeFetch,
  fakeServer,
  fakeSockets,
  json,
  streamed,
  turn,
} from "./servers.mjs";

const PARTS = { meta: { city: "Zürich" }, orders: [1, 2], slow: null, none: [] };
const END = { type: "end", ok: 4, failed: 0, cursor: null, reason: "complete" };

/** No pause between two tries. */
function atOnce(t) {
  t.mock.method(Math, "random", () => 0);
}

/** What frames say, whatever carried them: pages announce nothing and have no times. */
function said(frames) {
  return frames
    .filter(({ type }) => type !== "start")
    .map(({ cursor, ms, ...frame }) => frame);
}

for (const transport of ["ndjson", "pages", undefined]) {
  test(`a line that is cut at every frame gives the same over ${transport ?? "any"}`, async (t) => {
    atOnce(t);
    const whole = await collect(stream("/d/", fakeServer(PARTS)));

    for (let frames = 0; frames <= whole.length; frames += 1) {
      for (let cuts = 1; cuts < 4; cuts += 1) {
        const server = fakeServer(PARTS, { cuts: Array(cuts).fill(frames) });
        const seen = await collect(stream("/d/", { ...server, transport }));

        assert.deepEqual(said(seen), said(whole));
        assert.deepEqual(seen.at(-1), END);
        assert.ok(seen.filter(({ type }) => type === "start").length <= 1);
      }
    }
  });
}

test("a part whose frame was read is not made again", async (t) => {
  atOnce(t);
  const server = fakeServer(PARTS, { cuts: [2, 2, 2] });
  await collect(stream("/d/", server));

  assert.deepEqual(server.made, { meta: 1, orders: 2, slow: 3, none: 4 });
});

test("tries wait for twice as long each time, with full jitter, and end", async (t) => {
  t.mock.method(Math, "random", () => 0.5);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { fetch, requests } = fakeFetch(...Array(20).fill(new TypeError("failed")));
  const waits = [];
  const onAttempt = ({ wait, tries }) => waits.push([tries, wait]);
  const reading = collectUntilError(stream("/d/", { fetch, onAttempt }));

  for (let tries = 0; tries < 12; tries += 1) {
    await turn();
    t.mock.timers.tick(30000);
  }

  const { error } = await reading;
  assert.equal(error.name, "StreamInterruptedError");
  assert.equal(requests.length, 11);
  assert.deepEqual(waits, [
    [0, 0],
    [1, 500],
    [2, 1000],
    [3, 2000],
    [4, 4000],
    [5, 8000],
    [6, 15000],
    [7, 15000],
    [8, 15000],
    [9, 15000],
    [10, 15000],
  ]);
});

for (const [status, header, wait] of [
  [503, "7", 7000],
  [429, "0", 0],
  [503, null, 0],
  [502, null, 0],
  [504, null, 0],
  [503, "soon", 0],
]) {
  test(`a ${status} with Retry-After ${header} is asked again after ${wait} ms`, async (t) => {
    atOnce(t);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const busy = json({ detail: "Busy." }, { status });
    header && busy.headers.set("Retry-After", header);
    const { fetch, requests } = fakeFetch(busy, streamed([bytes(END)]));
    const waits = [];
    const onAttempt = (attempt) => waits.push(attempt.wait);
    const reading = collect(stream("/d/", { fetch, onAttempt }));
    await turn();
    t.mock.timers.tick(wait);

    assert.equal((await reading).length, 1);
    assert.deepEqual(waits, [0, wait]);
    assert.equal(requests.length, 2);
  });
}

test("Retry-After may be a date", async (t) => {
  const busy = json({}, { status: 503 });
  busy.headers.set("Retry-After", new Date(Date.now() + 60000).toUTCString());
  const { fetch } = fakeFetch(busy);
  const { error } = await collectUntilError(stream("/d/", { fetch, tries: 0 }));

  assert.ok(error.retryAfter > 30000 && error.retryAfter <= 60000);
});

for (const status of [400, 401, 403, 404, 429, 500]) {
  test(`a ${status} is not asked again`, async () => {
    const { fetch, requests } = fakeFetch(json({}, { status }));
    const { error } = await collectUntilError(stream("/d/", { fetch }));

    assert.equal(error.status, status);
    assert.equal(requests.length, 1);
  });
}

test("an answer of the wrong type is not asked for again", async () => {
  const { fetch, requests } = fakeFetch(json("<html>", { type: "text/html" }));
  const { error } = await collectUntilError(stream("/d/", { fetch }));

  assert.equal(error.code, "not_streamable");
  assert.equal(requests.length, 1);
});

for (const [status, code] of [
  [410, "cursor_expired"],
  [400, "cursor_invalid"],
]) {
  test(`after ${code} everything is asked for again`, async (t) => {
    atOnce(t);
    const start = { type: "start", v: 1, parts: ["a"], cursor: "c0" };
    const part = { type: "part", name: "a", data: 1, cursor: null };
    const { fetch, requests } = fakeFetch(
      streamed([bytes(start)], { broken: true }),
      json({ code }, { status }),
      streamed([bytes(start, part, { ...END, ok: 1 })]),
    );

    const types = (await collect(stream("/d/?days=7", { fetch }))).map(({ type }) => type);
    assert.deepEqual(types, ["start", "start", "part", "end"]);
    assert.deepEqual(
      requests.map(({ url }) => url),
      ["/d/?days=7", "/d/?days=7&cursor=c0", "/d/?days=7"],
    );
  });
}

test("an answer without a frame is held back: the next try reads pages", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const server = fakeServer(PARTS, { holds: true });
  const transports = [];
  const line = {};
  const reading = collect(
    stream("/d/", {
      ...server,
      line,
      patience: 2000,
      onAttempt: ({ transport }) => transports.push(transport),
    }),
  );
  await turn();
  t.mock.timers.tick(1999);
  await turn();
  assert.deepEqual(transports, ["ndjson"]);
  t.mock.timers.tick(1);
  await turn();

  assert.deepEqual((await reading).at(-1), END);
  assert.deepEqual(transports, ["ndjson", "pages"]);
  await collect(stream("/d/", { ...server, line, onAttempt: ({ transport }) => transports.push(transport) }));
  assert.equal(transports.at(-1), "pages");
  assert.equal(server.aborted, 1);
});

test("frames that took their time and come in one piece were held back", async () => {
  const frames = (ms) => [
    { type: "start", v: 1, parts: ["a", "b"], cursor: "c" },
    { type: "part", name: "a", data: 1, cursor: "c", ms: 1 },
    { type: "part", name: "b", data: 1, cursor: null, ms },
    END,
  ];
  const read = async (pieces) => {
    const line = {};
    await collect(stream("/d/", { ...fakeFetch(streamed(pieces)), line }));
    return line.held;
  };

  assert.equal(await read([bytes(...frames(800))]), true);
  assert.equal(await read([bytes(...frames(20))]), undefined);
  const [start, ...rest] = frames(800);
  assert.equal(await read([bytes(start), bytes(...rest)]), undefined);
});

test("a line that was silent is not given up while frames come", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const start = { type: "start", v: 1, parts: ["a"], cursor: "c0" };
  const response = streamed([bytes(start)], { open: true });
  const reader = stream("/d/", { ...fakeFetch(response), patience: 2000 });
  await reader.next();
  const next = reader.next();
  t.mock.timers.tick(60000);
  await turn();

  assert.equal(await Promise.race([next, "still reading"]), "still reading");
  reader.return();
});

test("a socket that cannot be opened is left for NDJSON at once, with the cursor", async (t) => {
  const { WebSocket, sockets } = fakeSockets();
  const socket = connect("ws://example.test/", { WebSocket });
  t.after(() => socket.close());
  const server = fakeServer(PARTS);
  const seen = [];
  const reading = collect(
    stream("/d/", { ...server, socket, onAttempt: ({ transport, wait }) => seen.push([transport, wait]) }),
  );
  await turn();
  sockets[0].closes(1006);

  assert.deepEqual((await reading).at(-1), END);
  assert.deepEqual(seen, [
    ["websocket", 0],
    ["ndjson", 0],
  ]);
});

for (const refusal of ["closes 4403", "says 429"]) {
  test(`a socket that ${refusal} is left for NDJSON`, async (t) => {
    const { WebSocket, sockets } = fakeSockets();
    const socket = connect("ws://example.test/", { WebSocket });
    t.after(() => socket.close());
    const reading = collect(stream("/d/", { ...fakeServer(PARTS), socket }));
    await turn();

    if (refusal === "closes 4403") {
      sockets[0].closes(4403, "Forbidden");
    } else {
      sockets[0].says({ id: "1", type: "error", payload: [{ status: 429 }] });
    }

    assert.deepEqual((await reading).at(-1), END);
  });
}

test("a refusal on the socket is one everywhere", async (t) => {
  const { WebSocket, sockets } = fakeSockets();
  const socket = connect("ws://example.test/", { WebSocket });
  t.after(() => socket.close());
  const { fetch, requests } = fakeFetch();
  const reading = collectUntilError(stream("/d/", { fetch, socket }));
  await turn();
  sockets[0].says({ id: "1", type: "error", payload: [{ status: 404 }] });

  assert.equal((await reading).error.status, 404);
  assert.equal(requests.length, 0);
});

test("a socket that breaks midway is opened again, and goes on with the cursor", async (t) => {
  atOnce(t);
  const { WebSocket, sockets } = fakeSockets();
  const socket = connect("ws://example.test/", { WebSocket });
  t.after(() => socket.close());
  const reading = collect(stream("/d/", { socket }));
  const next = (payload) => ({ id: "1", type: "next", payload });
  const again = (payload) => ({ id: "2", type: "next", payload });
  const start = { type: "start", v: 1, parts: ["a", "b"], cursor: "c0" };
  const part = { type: "part", name: "a", data: 1, cursor: "c1" };
  await turn();
  sockets[0].opens();
  await sockets[0].leaves(1);
  sockets[0].says({ type: "connection_ack" }, next(start), next(part));
  await turn();
  sockets[0].closes(1012);
  await turn();
  sockets[1].opens();
  await sockets[1].leaves(1);
  sockets[1].says({ type: "connection_ack" });
  assert.deepEqual(sockets[1].sent[1].payload, { url: "/d/", cursor: "c1", live: false });
  sockets[1].says(
    again({ ...start, parts: ["b"] }),
    again({ ...part, name: "b", cursor: null }),
    again({ ...END, ok: 1 }),
  );

  assert.deepEqual(
    (await reading).map(({ type, name }) => name ?? type),
    ["start", "a", "b", "end"],
  );
});

test("a job is followed by asking when nothing else works", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const job = (seq, state) => json({ task_id: "t", state, seq });
  const { fetch } = fakeFetch(
    job(1, "PENDING"),
    job(1, "PENDING"),
    job(5, "PROGRESS"),
    job(6, "SUCCESS"),
  );
  const reading = collect(follow("/events/", { fetch, transport: "pages" }));

  for (let count = 0; count < 4; count += 1) {
    await turn();
    t.mock.timers.tick(1000);
  }

  assert.deepEqual(
    (await reading).map(({ type, seq }) => seq ?? type),
    [1, 5, 6, "end"],
  );
});

test("a job whose line is cut is followed on, without going back", async (t) => {
  atOnce(t);
  const start = { type: "start", v: 1, parts: [], cursor: null };
  const at = (seq) => ({ type: "progress", seq });
  const end = { ...END, ok: 9, failed: 1 };
  const { fetch } = fakeFetch(
    streamed([bytes(start, at(1), at(4))], { broken: true }),
    streamed([bytes(start, at(3), at(4))]),
    streamed([bytes(start, at(4), at(8), end)]),
  );

  assert.deepEqual(await collect(follow("/events/", { fetch })), [
    start,
    at(1),
    at(4),
    at(8),
    end,
  ]);
});

test("a live resource that only pages can carry is read again and again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = (value) => json({ results: [{ a: value }], cursor: null });
  const { fetch } = fakeFetch(page(1), page(2));
  const reader = stream("/d/", { fetch, live: true, line: { held: true }, poll: 5000 });

  assert.equal((await reader.next()).value.data, 1);
  assert.equal((await reader.next()).value.type, "live");
  const next = reader.next();
  await turn();
  t.mock.timers.tick(5000);
  assert.equal((await next).value.data, 2);
  await reader.return();
});

test("a live stream that is cut is asked for whole", async (t) => {
  atOnce(t);
  const start = { type: "start", v: 1, parts: ["a"], cursor: "c0" };
  const part = (data) => ({ type: "part", name: "a", data, cursor: null });
  const live = { type: "live" };
  const { fetch, requests } = fakeFetch(
    streamed([bytes(start, part(1), live, part(2))], { broken: true }),
    streamed([bytes(start, part(3), live)], { open: true }),
  );
  const reader = stream("/d/", { fetch, live: true });
  const seen = [];

  for (let count = 0; count < 7; count += 1) {
    const { value } = await reader.next();
    seen.push(value.data ?? value.type);
  }

  assert.deepEqual(seen, ["start", 1, "live", 2, "start", 3, "live"]);
  assert.deepEqual(
    requests.map(({ url }) => url),
    ["/d/?live=1", "/d/?live=1"],
  );
  await reader.return();
});

test("a live stream that is refused later is not asked for again", async () => {
  const start = { type: "start", v: 1, parts: [], cursor: null };
  const error = { status: 403, code: "permission_denied", detail: "Not any more." };
  const end = { ...END, reason: "refused", error };
  const { fetch, requests } = fakeFetch(streamed([bytes(start, { type: "live" }, end)]));
  const { seen, error: refusal } = await collectUntilError(
    stream("/d/", { fetch, live: true }),
  );

  assert.equal(seen.length, 2);
  assert.equal(refusal.name, "ProblemError");
  assert.equal(refusal.message, "Not any more.");
  assert.equal(requests.length, 1);
});

test("without a network nothing is tried until it is back", async (t) => {
  const events = new EventTarget();
  const navigator = { onLine: false };
  const real = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  globalThis.addEventListener = events.addEventListener.bind(events);
  globalThis.removeEventListener = events.removeEventListener.bind(events);
  t.after(() => {
    Object.defineProperty(globalThis, "navigator", real);
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  });
  const server = fakeServer(PARTS);
  const reading = collect(stream("/d/", server));
  await turn();
  assert.equal(server.requests.length, 0);
  navigator.onLine = true;
  events.dispatchEvent(new Event("online"));

  assert.deepEqual((await reading).at(-1), END);
});

test("an abort between two tries ends the wait", async () => {
  const controller = new AbortController();
  const { fetch, requests } = fakeFetch(new TypeError("failed"));
  const reading = collectUntilError(stream("/d/", { fetch, signal: controller.signal }));
  await turn();
  controller.abort(new Error("Enough."));

  assert.equal((await reading).error.message, "Enough.");
  assert.equal(requests.length, 1);
});

test("what onFrame throws is not taken for a broken line", async () => {
  const server = fakeServer(PARTS);
  const onFrame = () => {
    throw new TypeError("a bug of the reader");
  };

  const { error } = await collectUntilError(stream("/d/", { ...server, onFrame }));
  assert.equal(error.message, "a bug of the reader");
  assert.equal(server.requests.length, 1);
});
