import assert from "node:assert/strict";
import { test } from "node:test";

import { upload } from "../../src/django_partstream/static/django_partstream/partstream.js";
import { bytes, fakeFetch, json, streamed } from "./servers.mjs";

const JOB = { task_id: "t", total_items: 2, events_url: "/e/", status_url: "/s/" };
const START = { type: "start", v: 1, parts: [], cursor: null };
const END = { type: "end", ok: 2, failed: 0, cursor: null, reason: "complete" };

test("an upload asks for a job, follows it and resolves to its outcome", async () => {
  const progress = { type: "progress", seq: 2, state: "SUCCESS", result: { success_count: 2 } };
  const { fetch, requests } = fakeFetch(
    json(JOB, { status: 202 }),
    streamed([bytes(START, { ...progress, seq: 1, state: "PROGRESS" }, progress, END)]),
  );
  const body = new Blob(["a,b\n"], { type: "text/plain" });
  const seen = [];
  const outcome = await upload("/flights/", body, {
    fetch,
    contentType: "text/csv",
    headers: { "X-CSRFToken": "x" },
    onProgress: ({ state, status_url }) => seen.push([state, status_url]),
  });

  assert.deepEqual(outcome, { ...JOB, ...progress });
  assert.deepEqual(seen, [
    ["PENDING", "/s/"],
    ["PROGRESS", "/s/"],
    ["SUCCESS", "/s/"],
  ]);
  assert.equal(requests[0].method, "POST");
  assert.equal(requests[0].body, body);
  assert.deepEqual(requests[0].headers, {
    Accept: "application/json",
    Prefer: "respond-async",
    "Content-Type": "text/csv",
    "X-CSRFToken": "x",
  });
  assert.equal(requests[1].url, "/e/");
});

test("the type of an upload is that of its file", async () => {
  const { fetch, requests } = fakeFetch(json({ state: "SUCCESS" }));
  await upload("/flights/", new Blob(["[]"], { type: "application/json" }), { fetch });

  assert.equal(requests[0].headers["Content-Type"], "application/json");
});

test("a refused upload is a problem", async () => {
  const problem = { status: 400, code: "empty_upload", detail: "The upload is empty." };
  const { fetch } = fakeFetch(json(problem, { status: 400 }));

  await assert.rejects(upload("/flights/", "", { fetch }), {
    name: "ProblemError",
    code: "empty_upload",
  });
});

test("an upload whose answer is lost is not sent again", async () => {
  const { fetch, requests } = fakeFetch(new TypeError("failed"));

  await assert.rejects(upload("/flights/", "a", { fetch }), {
    name: "StreamInterruptedError",
  });
  assert.equal(requests.length, 1);
});
