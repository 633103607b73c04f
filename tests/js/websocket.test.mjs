import assert from "node:assert/strict";
import { test } from "node:test";

import {
  connect,
  follow,
  ProblemError,
  stream,
  StreamInterruptedError,
} from "../../src/django_partstream/static/django_partstream/partstream.js";
import { fakeSockets, turn } from "./servers.mjs";

const START = { type: "start", v: 1, parts: ["meta"], cursor: "c0" };
const META = { type: "part", name: "meta", data: 1, cursor: null, ms: 1 };
const END = { type: "end", ok: 1, failed: 0, cursor: null, reason: "complete" };

/** One try over the socket. */
function subscribe(socket, url, options = {}) {
  return stream(url, { tries: 0, ...options, socket, transport: "websocket" });
}

/** A connection, with one reader for each url, that has been acknowledged. */
async function connected(t, urls, options = {}) {
  const { WebSocket, sockets } = fakeSockets();
  const connection = connect("ws://example.test/ws/", { WebSocket, ...options });
  t.after(() => connection.close());
  const readers = urls.map((url) => subscribe(connection, url, options));
  const first = readers.map((reader) => settled(reader.next()));
  await turn();
  const [socket] = sockets;
  socket.opens();
  await socket.leaves(1);
  socket.says({ type: "connection_ack" });
  await socket.leaves(1 + urls.length);
  return { connection, socket, sockets, readers, first };
}

/** A promise that may fail before anybody waits for it. */
function settled(promise) {
  promise.catch(() => {});
  return promise;
}

function next(id, payload) {
  return { id, type: "next", payload };
}

async function rest(reader) {
  const seen = [];

  for await (const frame of reader) {
    seen.push(frame);
  }

  return seen;
}

test("many subscriptions share one socket, in the framing of graphql-transport-ws", async (t) => {
  const headers = { Authorization: "Token x" };
  const { socket, sockets, readers, first } = await connected(t, ["/a/", "/b/"], {
    headers,
  });

  socket.says(
    next("2", START),
    next("1", START),
    next("1", META),
    next("1", END),
    { id: "1", type: "complete" },
    next("2", END),
    { id: "2", type: "complete" },
  );

  assert.equal(sockets.length, 1);
  assert.equal(socket.url, "ws://example.test/ws/");
  assert.equal(socket.protocol, "graphql-transport-ws");
  assert.deepEqual((await first[0]).value, START);
  assert.deepEqual(await rest(readers[0]), [META, END]);
  assert.deepEqual((await first[1]).value, START);
  assert.deepEqual(await rest(readers[1]), [END]);
  assert.deepEqual(socket.sent, [
    { type: "connection_init", payload: { headers } },
    { id: "1", type: "subscribe", payload: { url: "/a/", cursor: null, live: false } },
    { id: "2", type: "subscribe", payload: { url: "/b/", cursor: null, live: false } },
  ]);
});

test("a subscription carries its cursor and its wish for changes", async (t) => {
  const { socket } = await connected(t, ["/a/"], { cursor: "c0", live: true });

  assert.deepEqual(socket.sent[1].payload, { url: "/a/", cursor: "c0", live: true });
});

test("nothing is subscribed before the acknowledgement", async () => {
  const { WebSocket, sockets } = fakeSockets();
  const connection = connect("ws://example.test/ws/", { WebSocket });
  const first = settled(subscribe(connection, "/a/").next());
  await turn();
  sockets[0].opens();
  await sockets[0].leaves(1);

  assert.deepEqual(
    sockets[0].sent.map(({ type }) => type),
    ["connection_init"],
  );
  connection.close();
  await assert.rejects(first, { name: "AbortError" });
});

test("a ping is answered", async (t) => {
  const { socket } = await connected(t, ["/a/"]);

  socket.says({ type: "ping" }, { type: "ping", payload: { at: 1 } });

  assert.deepEqual(socket.sent.slice(2), [
    { type: "pong" },
    { type: "pong", payload: { at: 1 } },
  ]);
});

test("a refused subscription is a problem, and the others go on", async (t) => {
  const { socket, first } = await connected(t, ["/a/", "/b/"]);
  const problem = { status: 404, code: "not_found", detail: "There is nothing here." };

  socket.says(
    { id: "1", type: "error", payload: [{ message: problem.detail, ...problem }] },
    next("2", START),
  );

  await assert.rejects(first[0], (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.code], [404, "not_found"]);
    return true;
  });
  assert.deepEqual((await first[1]).value, START);
});

for (const code of [1006, 1012]) {
  test(`a socket that closes with ${code} interrupts each subscription at its own cursor`, async (t) => {
    const { socket, readers, first } = await connected(t, ["/a/", "/b/"]);
    socket.says(next("1", START), next("1", { ...META, cursor: "c1" }), next("2", START));
    socket.closes(code);

    await Promise.all(first);
    assert.equal((await readers[0].next()).value.name, "meta");

    for (const [reader, cursor] of [
      [readers[0], "c1"],
      [readers[1], "c0"],
    ]) {
      await assert.rejects(reader.next(), (error) => {
        assert.ok(error instanceof StreamInterruptedError);
        assert.equal(error.message, `The socket was closed with code ${code}.`);
        assert.deepEqual([error.cursor, error.cause.code], [cursor, code]);
        return true;
      });
    }
  });
}

test("a restart that says goodbye interrupts the subscription, and the next opens a socket", async (t) => {
  const { connection, socket, sockets, readers, first } = await connected(t, ["/a/"]);
  const end = { type: "end", ok: 0, failed: 0, cursor: "c0", reason: "shutdown" };
  socket.says(next("1", START), next("1", end));
  socket.closes(1012);

  await first[0];
  await assert.rejects(readers[0].next(), {
    name: "StreamInterruptedError",
    message: "The server ended the stream: shutdown.",
    cursor: "c0",
  });
  const again = settled(subscribe(connection, "/a/", { cursor: "c0" }).next());
  await turn();
  assert.equal(sockets.length, 2);
  connection.close();
  await assert.rejects(again, { name: "AbortError" });
});

test("a close code of the server's own is a refusal", async (t) => {
  const { socket, first } = await connected(t, ["/a/"]);
  socket.closes(4403, "Forbidden");

  await assert.rejects(first[0], {
    name: "ProblemError",
    status: 403,
    code: "socket_refused",
    message: "Forbidden",
  });
});

test("closing the connection ends what it carries, and a later subscription opens it", async (t) => {
  const { connection, socket, sockets, first } = await connected(t, ["/a/"]);
  connection.close();

  await assert.rejects(first[0], {
    name: "AbortError",
    message: "The connection was closed.",
  });
  assert.equal(socket.readyState, 3);
  const again = settled(subscribe(connection, "/a/").next());
  await turn();
  assert.equal(sockets.length, 2);
  connection.close();
  await assert.rejects(again, { name: "AbortError" });
});

test("leaving a subscription cancels it on the server, and late frames are ignored", async (t) => {
  const { socket, readers, first } = await connected(t, ["/a/"]);
  socket.says(next("1", START));
  await first[0];

  await readers[0].return();
  socket.says(next("1", META), next("1", END), { id: "1", type: "complete" });

  assert.deepEqual(socket.sent.at(-1), { id: "1", type: "complete" });
  assert.deepEqual(await rest(readers[0]), []);
});

test("an aborted subscription leaves the others alone", async (t) => {
  const controller = new AbortController();
  const { connection, socket, readers, first } = await connected(t, ["/a/"]);
  const reader = subscribe(connection, "/b/", { signal: controller.signal });
  const started = reader.next();
  await socket.leaves(3);
  socket.says(next("2", START), next("2", META));
  await started;
  controller.abort(new Error("Enough."));

  await assert.rejects(reader.next(), { message: "Enough." });
  assert.deepEqual(socket.sent.at(-1), { id: "2", type: "complete" });
  socket.says(next("1", START), next("1", END));
  await first[0];
  assert.deepEqual(await rest(readers[0]), [END]);
});

test("a reader that is too slow is interrupted after what it has, with its cursor", async (t) => {
  const { socket, readers, first } = await connected(t, ["/a/"], { queueSize: 2 });
  socket.says(next("1", START));
  await first[0];
  const parts = ["c1", "c2", "c3"].map((cursor) => ({ ...META, cursor }));
  socket.says(...parts.map((part) => next("1", part)));

  assert.deepEqual(socket.sent.at(-1), { id: "1", type: "complete" });
  assert.equal((await readers[0].next()).value.cursor, "c1");
  assert.equal((await readers[0].next()).value.cursor, "c2");
  await assert.rejects(readers[0].next(), {
    name: "StreamInterruptedError",
    message: "Too many frames wait to be read.",
    cursor: "c2",
  });
});

test("the snapshots of a job come in order, and none twice", async (t) => {
  const { connection, socket, first } = await connected(t, ["/a/"]);
  const reader = follow("/events/", { socket: connection });
  const opened = reader.next();
  await socket.leaves(3);
  socket.says(next("1", START), next("2", { ...START, parts: [], cursor: null }));
  await Promise.all([...first, opened]);
  const snapshots = [1, 3, 2, 3, 4].map((seq) => ({ type: "progress", seq }));
  const end = { type: "end", ok: 7, failed: 0, cursor: null, reason: "complete" };
  socket.says(...snapshots.map((snapshot) => next("2", snapshot)), next("2", end));

  assert.deepEqual(await rest(reader), [
    ...[1, 3, 4].map((seq) => ({ type: "progress", seq })),
    end,
  ]);
});

test("a socket that goes silent is a lost one", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { socket, first } = await connected(t, ["/a/"], { keepAlive: 1000 });

  t.mock.timers.tick(1000);
  assert.deepEqual(socket.sent.at(-1), { type: "ping" });
  socket.says({ type: "pong" });
  t.mock.timers.tick(1000);
  assert.equal(socket.readyState, 1);
  t.mock.timers.tick(1000);

  await assert.rejects(first[0], {
    name: "StreamInterruptedError",
    message: "The socket has gone silent.",
  });
  assert.equal(socket.readyState, 3);
});

test("a message that is no JSON interrupts", async (t) => {
  const { socket, first } = await connected(t, ["/a/"]);
  socket.onmessage({ data: "<html>" });

  await assert.rejects(first[0], {
    name: "StreamInterruptedError",
    message: "The stream was cut before its end.",
  });
});

test("a subscription that completes without an end was cut", async (t) => {
  const { socket, readers, first } = await connected(t, ["/a/"]);
  socket.says(next("1", START), { id: "1", type: "complete" });
  await first[0];

  await assert.rejects(readers[0].next(), { name: "StreamInterruptedError", cursor: "c0" });
});
