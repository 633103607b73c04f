// graphql-ws as it comes from npm, driven line by line: commands in, events out.
//
//   node graphql_ws_client.mjs ws://… '{"headers": {…}}'
//
// {"subscribe": {payload}, "as": "a"}   {"cancel": "a"}   {"dispose": true}

import { createInterface } from "node:readline";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, connectionParams] = process.argv.slice(2);
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const cancels = new Map();

const client = createClient({
  url,
  connectionParams: JSON.parse(connectionParams),
  webSocketImpl: WebSocket,
  lazy: false,
  keepAlive: 200,
  retryAttempts: 2000,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
  // By default it gives up when nobody listens, as while a server restarts.
  shouldRetry: () => true,
  on: {
    connected: () => say({ event: "connected" }),
    closed: (event) => say({ event: "closed", code: event.code }),
    pong: (received) => received && say({ event: "pong" }),
  },
  onNonLazyError: (error) => say({ event: "fatal", code: error.code }),
});

function subscribe(as, payload) {
  cancels.set(
    as,
    client.subscribe(payload, {
      next: (frame) => say({ event: "next", as, frame }),
      error: (error) => say({ event: "error", as, error }),
      complete: () => say({ event: "complete", as }),
    }),
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);

  if (command.subscribe) subscribe(command.as, command.subscribe);
  if (command.cancel) cancels.get(command.cancel)();
  if (command.dispose) await client.dispose();
}
