import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cancel,
  ndjson,
  pages,
  ProblemError,
  records,
  stream,
  StreamInterruptedError,
  upload,
} from "../../src/django_partstream/static/django_partstream/partstream.js";
import { bytes, fakeFetch, json, streamed } from "./servers.mjs";

const START = { type: "start", v: 1, parts: ["meta", "orders"], cursor: "c0" };
const META = { type: "part", name: "meta", data: { city: "Zürich 東京 🛫" }, cursor: "c1", ms: 1 };
const ORDERS = { type: "part", name: "orders", data: [1, 2], cursor: null, ms: 20 };
const END = { type: "end", ok: 2, failed: 0, cursor: null, reason: "complete" };
const FRAMES = [START, META, ORDERS, END];

async function collect(frames) {
  const seen = [];

  for await (const frame of frames) {
    seen.push(frame);
  }

  return seen;
}

/** The frames that came, and the error that ended them. */
async function collectUntilError(frames) {
  const seen = [];

  try {
    for await (const frame of frames) {
      seen.push(frame);
    }
  } catch (error) {
    return { seen, error };
  }

  throw new assert.AssertionError({ message: "The iterator ended without an error." });
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
  const whole = bytes(START, META, ORDERS);
  const cursors = [undefined, "c0", "c1", null];

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
  assert.equal(requests[0].url, "/d/?chunk_size=3&cursor=c+1");
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
    ["/d/?days=7", "/d/?cursor=c1"],
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
  const { fetch } = fakeFetch(json({ count: 0, results: [] }));
  const { error } = await collectUntilError(pages("/d/", { fetch }));

  assert.ok(error instanceof ProblemError);
  assert.equal(error.message, "The answer is application/json; expected a page of parts.");
});

test("stream picks the transport", async () => {
  const http = fakeFetch(
    streamed([bytes(...FRAMES)]),
    json({ results: [{ meta: 1 }], cursor: null }),
  );
  const socket = { subscribe: (url) => [`subscribed to ${url}`] };

  assert.deepEqual(await collect(stream("/d/", { fetch: http.fetch })), FRAMES);
  assert.equal((await collect(stream("/d/", { ...http, transport: "pages" }))).length, 2);
  assert.deepEqual(stream("/d/", { socket }), ["subscribed to /d/"]);
  assert.throws(() => stream("/d/", { transport: "websocket" }), {
    name: "TypeError",
    message:
      'transport is "websocket"; expected "ndjson", "pages", or "websocket" with a ' +
      "socket from connect().",
  });
});

test("an upload asks for a job and resolves to its document", async () => {
  const job = { task_id: "t", total_items: 2, events_url: "/e/" };
  const { fetch, requests } = fakeFetch(json(job, { status: 202 }));
  const body = new Blob(["a,b\n"], { type: "text/plain" });
  const answer = await upload("/flights/", body, {
    fetch,
    contentType: "text/csv",
    headers: { "X-CSRFToken": "x" },
  });

  assert.deepEqual(answer, job);
  assert.equal(requests[0].method, "POST");
  assert.equal(requests[0].body, body);
  assert.deepEqual(requests[0].headers, {
    Accept: "application/json",
    Prefer: "respond-async",
    "Content-Type": "text/csv",
    "X-CSRFToken": "x",
  });
});

test("a refused upload is a problem", async () => {
  const problem = { status: 400, code: "empty_upload", detail: "The upload is empty." };
  const { fetch } = fakeFetch(json(problem, { status: 400 }));

  await assert.rejects(upload("/flights/", "", { fetch }), {
    name: "ProblemError",
    code: "empty_upload",
  });
});

test("cancelling a job deletes its status", async () => {
  const { fetch, requests } = fakeFetch(json({ state: "CANCELLED" }));

  assert.deepEqual(await cancel("/status/", { fetch }), { state: "CANCELLED" });
  assert.equal(requests[0].method, "DELETE");
});
