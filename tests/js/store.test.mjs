import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

import {
  load,
  merge,
  stream,
} from "../../src/django_partstream/static/django_partstream/partstream.js";
import {
  bytes,
  collect,
  fakeFetch,
  fakeServer,
  json,
  streamed,
  turn,
} from "./servers.mjs";

const PARTS = { meta: 1, orders: [1, 2] };
const EMPTY = { status: "loading", parts: {} };
const VECTORS = new URL("../conformance/", import.meta.url);

/** What `fetch` is given, one answer after the other, when the test says so. */
function answers() {
  const waiting = [];
  const fetch = (url, { signal }) =>
    new Promise((resolve, reject) => {
      waiting.push({ url, resolve, reject, signal });
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  return { fetch, waiting };
}

function states({ parts }) {
  return Object.fromEntries(Object.entries(parts).map(([name, { state }]) => [name, state]));
}

function frozen(value) {
  if (value && typeof value === "object" && !(value instanceof Error)) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }

  return value;
}

for (const file of (await readdir(VECTORS)).filter((name) => name.endsWith(".json"))) {
  const { cases } = JSON.parse(await readFile(new URL(file, VECTORS), "utf8"));

  for (const { name, frames, merged, chunks } of cases) {
    if (merged) {
      test(`conformance: ${file}: ${name}`, () => {
        const state = frames.reduce((state, frame) => frozen(merge(state, frame)), EMPTY);
        const shown = Object.entries(state.parts).map(([name, part]) => [
          name,
          part.state === "ok" ? { data: part.data } : { error: part.error },
        ]);

        assert.deepEqual(Object.fromEntries(shown), merged);
      });
    }

    if (chunks) {
      test(`conformance: ${file}: ${name}: bytes`, async () => {
        const pieces = chunks.map((chunk) => Buffer.from(chunk, "hex"));
        const { fetch } = fakeFetch(streamed(pieces));
        const seen = await collect(stream("/d/", { fetch, transport: "ndjson", tries: 0 }));

        assert.deepEqual(seen, frames);
      });
    }
  }
}

test("a store begins with its first subscriber and ends with its last", async () => {
  const { fetch, waiting } = answers();
  const store = load("/d/", { fetch });
  await turn();
  assert.equal(waiting.length, 0);

  const leave = store.subscribe(() => {});
  await turn();
  assert.equal(waiting.length, 1);
  leave();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(waiting[0].signal.aborted, true);
  store.subscribe(() => {})();
  await turn();
  assert.equal(waiting.length, 2);
});

test("whoever leaves and comes back at once finds the same load", async () => {
  const { fetch, waiting } = answers();
  const store = load("/d/", { fetch });
  store.subscribe(() => {})();
  const leave = store.subscribe(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5));

  assert.equal(waiting.length, 1);
  assert.equal(waiting[0].signal.aborted, false);
  leave();
});

test("a complete store is not loaded again by a later subscriber", async () => {
  const server = fakeServer(PARTS);
  const store = load("/d/", server);
  await store.reload();
  store.subscribe(() => {})();
  await turn();

  assert.equal(server.requests.length, 1);
  assert.equal(store.get().status, "ok");
});

test("a snapshot never changes, and is the same until something happens", async () => {
  const seen = [];
  const store = load("/d/", fakeServer(PARTS));
  const leave = store.subscribe(() => {
    assert.equal(store.get(), store.get());
    seen.push(frozen(store.get()));
  });
  await store.reload();
  leave();

  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(states(seen.find(({ parts }) => parts.meta)), {
    meta: "loading",
    orders: "loading",
  });
  assert.deepEqual(store.get().parts.orders.data, [1, 2]);
});

test("a reload keeps the last good value as stale, and after a failure too", async () => {
  const failed = { status: 500, code: "failed" };
  const start = { type: "start", v: 1, parts: ["a", "b"], cursor: "c" };
  const part = (name, data) => ({ type: "part", name, data, cursor: null });
  const end = { type: "end", ok: 2, failed: 0, cursor: null, reason: "complete" };
  const { fetch } = fakeFetch(
    streamed([bytes(start, part("a", 1), part("b", 2), end)]),
    streamed([bytes(start, { type: "error", name: "a", error: failed, cursor: null }, part("b", 3), end)]),
  );
  const store = load("/d/", { fetch });
  await store.reload();
  const again = store.reload();
  assert.deepEqual(states(store.get()), { a: "stale", b: "stale" });
  assert.equal(store.get().parts.a.data, 1);
  await again;

  assert.deepEqual(store.get().parts.a, { state: "failed", data: 1, error: failed, ms: undefined });
  assert.equal(store.get().parts.b.data, 3);
  assert.equal(store.get().status, "ok");
});

test("one part is asked for again, and the others stay as they are", async () => {
  const server = fakeServer(PARTS);
  const store = load("/d/?days=7", server);
  await store.reload();
  const { meta } = store.get().parts;
  const retried = store.retry("orders");

  assert.deepEqual(states(store.get()), { meta: "ok", orders: "stale" });
  await retried;
  assert.equal(server.requests[1].url, "/d/?days=7&parts=orders");
  assert.equal(store.get().parts.meta, meta);
  assert.deepEqual(server.made, { meta: 1, orders: 2 });
});

test("without names those that failed are asked for again", async () => {
  const error = { status: 500, code: "failed" };
  const page = json({
    results: [{ a: 1 }, { b: null }, { c: null }],
    errors: [
      { part: "b", ...error },
      { part: "c", ...error },
    ],
    cursor: null,
  });
  const { fetch, requests } = fakeFetch(page, json({ results: [{ b: 2 }, { c: 3 }], cursor: null }));
  const store = load("/d/", { fetch, transport: "pages" });
  await store.reload();
  assert.deepEqual(states(store.get()), { a: "ok", b: "failed", c: "failed" });
  await store.retry();

  assert.equal(requests[1].url, "/d/?parts=b%2Cc");
  assert.deepEqual(states(store.get()), { a: "ok", b: "ok", c: "ok" });
  await store.retry();
  assert.equal(requests.length, 2);
});

test("frames of an older run are dropped, whatever becomes of its request", async () => {
  const start = { type: "start", v: 1, parts: ["a"], cursor: "c" };
  const part = (data) => ({ type: "part", name: "a", data, cursor: null });
  const end = { type: "end", ok: 1, failed: 0, cursor: null, reason: "complete" };
  const resolvers = [];
  const fetch = () => new Promise((resolve) => resolvers.push(resolve));
  const store = load("/d/", { fetch });
  const first = store.reload();
  await turn();
  const second = store.reload();
  await turn();
  resolvers[1](streamed([bytes(start, part("new"), end)]));
  await second;
  resolvers[0](streamed([bytes(start, part("old"), end)]));
  await first;

  assert.equal(store.get().parts.a.data, "new");
});

test("what is given up fails, and keeps what it had", async () => {
  const { fetch } = fakeFetch(
    json({ results: [{ a: 1 }], cursor: null }),
    json({ detail: "Not yours.", code: "permission_denied" }, { status: 403 }),
  );
  const store = load("/d/", { fetch, transport: "pages" });
  await store.reload();
  const { status, error, parts } = await store.reload();

  assert.equal(status, "failed");
  assert.equal(error.status, 403);
  assert.equal(parts.a.state, "failed");
  assert.equal(parts.a.data, 1);
  assert.equal(parts.a.error.code, "permission_denied");
});

test("a part that a live view no longer has is gone", async () => {
  const start = (parts) => ({ type: "start", v: 1, parts, cursor: "c" });
  const part = (name) => ({ type: "part", name, data: 1, cursor: null });
  const state = [start(["a", "b"]), part("a"), part("b"), { type: "live" }, start(["b"])].reduce(
    merge,
    EMPTY,
  );

  assert.deepEqual(states(state), { b: "stale" });
});

test("the items of a list show while it grows, and an old list stays until the new one is whole", () => {
  const items = (seq, ...items) => ({ type: "items", name: "a", seq, items });
  const close = { type: "part", name: "a", count: 3, cursor: null };
  const growing = [items(0, 1, 2), items(1, 3)].reduce(merge, EMPTY);
  assert.deepEqual(growing.parts.a, { state: "loading", items: [1, 2, 3] });

  const whole = merge(growing, close);
  assert.deepEqual(whole.parts.a, { state: "ok", data: [1, 2, 3], ms: undefined });

  const again = [{ type: "start", parts: ["a"] }, items(0, 9)].reduce(merge, whole);
  assert.equal(again.parts.a.state, "stale");
  assert.deepEqual(again.parts.a.data, [1, 2, 3]);
  assert.deepEqual(again.parts.a.items, [9]);

  const restarted = [items(0, 7), { ...close, count: 1 }].reduce(merge, again);
  assert.deepEqual(restarted.parts.a.data, [7]);
});

test("a job's store holds its newest snapshot", async () => {
  const { fetch } = fakeFetch(
    streamed([
      bytes(
        { type: "start", v: 1, parts: [], cursor: null },
        { type: "progress", seq: 1, state: "PROGRESS" },
        { type: "progress", seq: 2, state: "SUCCESS" },
        { type: "end", ok: 5, failed: 0, cursor: null, reason: "complete" },
      ),
    ]),
  );
  const { status, progress } = await load("/events/", { fetch }).reload();

  assert.deepEqual([status, progress.state], ["ok", "SUCCESS"]);
});
