import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cancel,
  ProblemError,
  records,
  stream,
  StreamInterruptedError,
  upload,
} from "../../src/django_partstream/static/django_partstream/partstream.js";
import {
  bytes,
  collect,
  collectUntilError,
  fakeFetch,
  json,
  streamed,
  turn,
} from "./servers.mjs";

const START = { type: "start", v: 1, parts: ["meta", "orders"], cursor: "c0" };
const META = { type: "part", name: "meta", data: { city: "Zürich 東京 🛫" }, cursor: "c1", ms: 1 };
const ORDERS = { type: "part", name: "orders", data: [1, 2], cursor: null, ms: 20 };
const END = { type: "end", ok: 2, failed: 0, cursor: null, reason: "complete" };
const FRAMES = [START, META, ORDERS, END];

/** One try over one transport. */
function ndjson(url, options) {
  return stream(url, { transport: "ndjson", tries: 0, ...options });
}

function pages(url, options) {
  return stream(url, { transport: "pages", tries: 0, ...options });
}

test("a stream gives the same frames wherever its bytes are cut", async () => {
  const whole = bytes(...FRAMES);

  for (let cut = 0; cut <= whole.length; cut += 1) {
    const { fetch } = fakeFetch(streamed([whole.slice(0, cut), whole.slice(cut)]));

    assert.deepEqual(await collect(ndjson("/d/", { fetch })), FRAMES);
  }
});

test("a stream that comes byte by byte gives the same frames", async () => {
  const whole = [...bytes(...FRAMES)].map((byte) => Uint8Array.of(byte));
  const { fetch, requests } = fakeFetch(streamed(whole));

  assert.deepEqual(await collect(ndjson("/d/", { fetch })), FRAMES);
  assert.equal(requests[0].headers.Accept, "application/x-ndjson");
});

test("blank lines between frames are no frames", async () => {
  const blank = new TextEncoder().encode("\n \n\r\n");
  const { fetch } = fakeFetch(streamed([blank, bytes(START), blank, bytes(END), blank]));

  assert.deepEqual(await collect(ndjson("/d/", { fetch })), [START, END]);
});

test("a stream that is cut anywhere carries the newest cursor of what was read", async () => {
  const whole = bytes(START, META);
  const cursors = [undefined, "c0", "c1"];

  for (const broken of [false, true]) {
    for (let cut = 0; cut <= whole.length; cut += 1) {
      const { fetch } = fakeFetch(streamed([whole.slice(0, cut)], { broken }));
      const { seen, error } = await collectUntilError(ndjson("/d/", { fetch }));

      assert.ok(error instanceof StreamInterruptedError);
      assert.equal(error.message, "The stream was cut before its end.");
      assert.equal(error.cursor, cursors[seen.length]);
    }
  }
});

test("a resumed stream that brings nothing still owes what it was asked for", async () => {
  const { fetch, requests } = fakeFetch(new TypeError("fetch failed"));
  const { error } = await collectUntilError(
    ndjson("/d/?days=7&chunk_size=3", { fetch, cursor: "c 1" }),
  );

  assert.ok(error instanceof StreamInterruptedError);
  assert.equal(error.cursor, "c 1");
  assert.equal(error.cause.message, "fetch failed");
  assert.equal(requests[0].url, "/d/?days=7&chunk_size=3&cursor=c+1");
});

test("a refusal is a problem with the status of the answer", async () => {
  const problem = { title: "Gone", status: 410, code: "cursor_expired", detail: "Expired." };
  const type = "application/problem+json";
  const { fetch } = fakeFetch(json(problem, { status: 410, type }));
  const { error } = await collectUntilError(ndjson("/d/", { fetch }));

  assert.ok(error instanceof ProblemError);
  assert.deepEqual(
    [error.status, error.code, error.detail, error.message],
    [410, "cursor_expired", "Expired.", "Expired."],
  );
  assert.deepEqual(error.problem, problem);
});

test("a refusal without a document is a problem all the same", async () => {
  const answer = new Response("<h1>Bad Gateway</h1>", {
    status: 502,
    statusText: "Bad Gateway",
    headers: { "Content-Type": "text/html" },
  });
  const { fetch } = fakeFetch(answer);
  const { error } = await collectUntilError(pages("/d/", { fetch }));

  assert.ok(error instanceof ProblemError);
  assert.equal(error.message, "Bad Gateway");
  assert.deepEqual(error.problem, { title: "Bad Gateway", status: 502 });
});

test("an answer that is no stream is a problem, not a line that broke", async () => {
  const { fetch } = fakeFetch(json({ results: [] }));
  const { error } = await collectUntilError(ndjson("/d/", { fetch }));

  assert.ok(error instanceof ProblemError);
  assert.equal(error.code, "not_streamable");
  assert.equal(
    error.message,
    "The answer is application/json; expected application/x-ndjson.",
  );
  assert.equal(error.retryAfter, undefined);
});

test("leaving a stream early gives its body back", async () => {
  const response = streamed([bytes(START), bytes(META)], { open: true });
  const { fetch } = fakeFetch(response);

  for await (const frame of ndjson("/d/", { fetch })) {
    assert.deepEqual(frame, START);
    break;
  }

  await response.cancelled;
});

test("an abort ends a stream with the signal's reason", async () => {
  const controller = new AbortController();
  const fetch = (url, { signal }) =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const frames = collectUntilError(ndjson("/d/", { fetch, signal: controller.signal }));
  await turn();
  controller.abort();

  const { error } = await frames;
  assert.equal(error.name, "AbortError");
  assert.equal(error, controller.signal.reason);
});

test("records are read to the last one, with a newline or without", async () => {
  const text = new TextEncoder().encode('{"row": 4}\n{"row": 9}');
  const { fetch } = fakeFetch(streamed([text]));

  assert.deepEqual(await collect(records("/results/", { fetch })), [{ row: 4 }, { row: 9 }]);
});

test("pages follow the cursor until it is null", async () => {
  const failed = { part: "slow", status: 500, code: "failed", detail: "It failed." };
  const { fetch, requests } = fakeFetch(
    json({ results: [{ meta: 1 }, { orders: [1] }], cursor: "c1", meta: {} }),
    json({ results: [{ none: null }, { slow: null }], cursor: null, errors: [failed] }),
  );

  assert.deepEqual(await collect(pages("/d/?days=7", { fetch })), [
    { type: "part", name: "meta", data: 1 },
    { type: "part", name: "orders", data: [1], cursor: "c1" },
    { type: "part", name: "none", data: null },
    { type: "error", name: "slow", error: failed, cursor: null },
    { type: "end", ok: 3, failed: 1, cursor: null, reason: "complete" },
  ]);
  assert.deepEqual(
    requests.map(({ url }) => url),
    ["/d/?days=7", "/d/?days=7&cursor=c1"],
  );
});

test("a page that does not come leaves the cursor of the last one", async () => {
  const { fetch } = fakeFetch(
    json({ results: [{ meta: 1 }], cursor: "c1", meta: {} }),
    new TypeError("fetch failed"),
  );
  const { seen, error } = await collectUntilError(pages("/d/", { fetch }));

  assert.equal(seen.length, 1);
  assert.ok(error instanceof StreamInterruptedError);
  assert.equal(error.cursor, "c1");
});

test("an answer that is no page is a problem", async () => {
  const { fetch } = fakeFetch(json([], { type: "text/html" }));
  const { error } = await collectUntilError(pages("/d/", { fetch }));

  assert.ok(error instanceof ProblemError);
  assert.equal(error.code, "not_streamable");
  assert.equal(error.message, "The answer is text/html; expected application/json.");
});

test("a socket is needed for a subscription", async () => {
  await assert.rejects(collect(stream("/d/", { transport: "websocket" })), {
    name: "TypeError",
    message: 'transport is "websocket"; expected a socket from connect().',
  });
});

test("headers may be asked for at each request", async () => {
  const { fetch, requests } = fakeFetch(
    json({ results: [{ meta: 1 }], cursor: "c1" }),
    json({ results: [{ orders: 2 }], cursor: null }),
  );
  let asked = 0;
  const headers = async () => ({ Authorization: `Token ${(asked += 1)}` });
  await collect(pages("/d/", { fetch, headers }));

  assert.deepEqual(
    requests.map(({ headers }) => headers),
    ["Token 1", "Token 2"].map((Authorization) => ({
      Accept: "application/json",
      Authorization,
    })),
  );
});

test("cancelling a job deletes its status", async () => {
  const { fetch, requests } = fakeFetch(json({ state: "CANCELLED" }));

  assert.deepEqual(await cancel("/status/", { fetch }), { state: "CANCELLED" });
  assert.equal(requests[0].method, "DELETE");
});
