"""The whole system: PostgreSQL, Redis, two web processes, two workers."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import websockets

from asgi_example.demo_full import FullDemo

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent
JANUARY = ROOT / "asgi_example" / "data" / "flights-2013-01.csv.gz"
FLIGHTS = "/api/flights/?unique_fields=time_hour,carrier,flight"

#: A dead worker is noticed within seconds, and a job has many commits.
PARTSTREAM = {"LEASE_SECONDS": 3, "SWEEP_SECONDS": 0.5, "BATCH_SIZE": 1000}


def signed_in(demo: FullDemo, name: str) -> httpx.Client:
    token = httpx.post(
        f"{demo.url}/api/token/",
        data={"username": name, "password": f"{name}-demo"},
        timeout=30,
    ).json()["token"]

    return httpx.Client(
        base_url=demo.url, headers={"Authorization": f"Token {token}"}, timeout=60
    )


def load_january(client: httpx.Client) -> dict[str, Any]:
    accepted = client.post(
        FLIGHTS,
        content=gzip.decompress(JANUARY.read_bytes()),
        headers={"Content-Type": "text/csv", "Prefer": "respond-async"},
    )
    assert accepted.status_code == 202, accepted.text
    answer: dict[str, Any] = accepted.json()

    return answer


def until(client: httpx.Client, url: str, reached: Any) -> dict[str, Any]:
    """The first status for which `reached` holds."""
    ends = time.monotonic() + 240

    while time.monotonic() < ends:
        status: dict[str, Any] = client.get(url).json()

        if reached(status):
            return status

        time.sleep(0.02)

    raise AssertionError(f"not reached: {status}")


def query(demo: FullDemo, sql: str) -> Any:
    database = demo.database

    with psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        dbname=database.database,
    ) as connection:
        return connection.execute(sql).fetchone()


async def follow(demo: FullDemo, client: httpx.Client, url: str) -> list[Any]:
    """The frames of a subscription to its `complete`, or why it was refused."""
    address = demo.url.replace("http", "ws") + "/ws/partstream/"
    headers = {"Authorization": client.headers["Authorization"]}
    frames = []

    async with websockets.connect(
        address, open_timeout=60, ping_timeout=None
    ) as socket:
        await socket.send(
            json.dumps({"type": "connection_init", "payload": {"headers": headers}})
        )
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        await socket.send(
            json.dumps({"id": "1", "type": "subscribe", "payload": {"url": url}})
        )

        async for text in socket:
            message = json.loads(text)

            if message["type"] == "ping":
                continue

            if message["type"] != "next":
                frames += message.get("payload", [])
                break

            frames.append(message["payload"])

    return frames


def kill_the_worker_of(demo: FullDemo, task_id: str) -> int:
    (worker,) = query(demo, f"SELECT worker FROM partstream_job WHERE id = '{task_id}'")
    pid = int(worker.split(":")[-2])
    assert pid in demo.workers
    os.kill(pid, signal.SIGKILL)

    return pid


async def test_a_job_survives_the_death_of_its_worker() -> None:
    environment = {"DEMO_PARTSTREAM": json.dumps(PARTSTREAM)}

    with FullDemo(env=environment) as demo:
        ann, bob = signed_in(demo, "ann"), signed_in(demo, "bob")
        answer = load_january(ann)
        following = asyncio.create_task(follow(demo, ann, answer["events_url"]))
        status_url = answer["status_url"]

        running = await asyncio.to_thread(
            until, ann, status_url, lambda status: status["progress"]["current"] > 0
        )
        killed = kill_the_worker_of(demo, answer["task_id"])
        ended = await asyncio.to_thread(
            until, ann, status_url, lambda status: status["status"] == "completed"
        )
        frames = await following

        # It was killed in the midst of its work, and somebody took over.
        assert 0 < running["progress"]["current"] < 27_004
        (epoch, worker) = query(demo, "SELECT epoch, worker FROM partstream_job")
        assert epoch >= 2
        assert not worker.endswith(f":{killed}")

        # The known answers hold.
        result = ended["result"]
        assert (result["created_count"], result["error_count"]) == (26_324, 680)
        assert result["errors"][0]["row"] == 4
        assert query(
            demo,
            "SELECT count(*), count(dep_delay), sum(dep_delay) FROM flights_flight",
        ) == (26_324, 25_804, 261_671)

        # Whoever followed saw it rise to the end.
        numbers = [frame["seq"] for frame in frames if frame["type"] == "progress"]
        assert numbers == sorted(set(numbers))
        assert frames[-2]["state"] == "SUCCESS"
        assert frames[-1]["type"] == "end"
        assert len(numbers) > 2

        # Nobody else knows of it.
        for name in ("status_url", "events_url", "results_url"):
            assert bob.get(answer[name]).status_code == 404
        assert httpx.get(demo.url + status_url, timeout=30).status_code == 401
        (refused,) = await follow(demo, bob, answer["events_url"])
        assert (refused["status"], refused["code"]) == (404, "not_found")

        # A second load creates nothing.
        again = load_january(ann)
        second = await asyncio.to_thread(
            until, ann, again["status_url"], lambda s: s["status"] == "completed"
        )
        assert second["result"]["created_count"] == 0
        assert second["result"]["unchanged_count"] == 26_324
        assert second["result"]["error_count"] == 680
        ann.close()
        bob.close()
