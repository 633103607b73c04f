"""Server-sent events: the framing, resuming, and the end of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import AsyncClient, Client

from django_partstream import encoding, frames
from django_partstream.models import Job
from django_partstream.problems import Problem
from django_partstream.transports import sse
from tests.streams import views

pytestmark = pytest.mark.django_db

EVENTS = {"Accept": "text/event-stream"}


def parsed(body: bytes) -> list[dict[str, Any]]:
    """The events as an EventSource dispatches them, by the HTML standard."""
    found, last, event = [], "", {"event": "message", "data": ""}

    for line in body.decode().split("\n"):
        name, _, value = line.partition(": ")

        if not line and event["data"]:
            found.append({**event, "id": last, "data": json.loads(event["data"])})
            event = {"event": "message", "data": ""}
        elif name == "id":
            last = value
        elif line:
            event[name] = value

    return found


async def events(client: AsyncClient, url: str, **headers: str) -> list[dict[str, Any]]:
    response: Any = await client.get(url, headers={**EVENTS, **headers})
    assert response.status_code == 200, response
    assert response["Content-Type"] == "text/event-stream"

    return parsed(b"".join([chunk async for chunk in response]))


PROBLEM = Problem(status=500, code="failed", detail="No.")

FRAMED: list[tuple[frames.Frame, bytes]] = [
    (
        frames.Start(parts=("a",), cursor="c1"),
        (
            b"event: start\nid: c1\n"
            b'data: {"type":"start","v":1,"parts":["a"],"cursor":"c1"}\n\n'
        ),
    ),
    (
        frames.Part(name="a", data="\n", cursor="c2", ms=1.5),
        (
            b"event: part\nid: c2\n"
            b'data: {"type":"part","name":"a","data":"\\n","cursor":"c2","ms":1.5}\n\n'
        ),
    ),
    (
        frames.Part(name="a", data=encoding.Encoded("[1\r\n]"), cursor=None, ms=0.0),
        (
            b"event: part\n"
            b'data: {"type":"part","name":"a","data":[1  ],"cursor":null,"ms":0.0}\n\n'
        ),
    ),
    (
        frames.Items(name="a", seq=0, items=[1]),
        b'event: items\ndata: {"type":"items","name":"a","seq":0,"items":[1]}\n\n',
    ),
    (
        frames.Error(name="a", error=PROBLEM, cursor=None, ms=0.0),
        (
            b"event: part-error\n"
            b'data: {"type":"error","name":"a","error":{"type":"about:blank",'
            b'"title":"Internal Server Error","status":500,"detail":"No.",'
            b'"code":"failed"},"cursor":null,"ms":0.0}\n\n'
        ),
    ),
    (
        frames.Progress(snapshot={"seq": 3}),
        b'event: progress\ndata: {"type":"progress","seq":3}\n\n',
    ),
    (frames.Ping(), b'event: ping\ndata: {"type":"ping"}\n\n'),
    (frames.Live(), b'event: live\ndata: {"type":"live"}\n\n'),
    (
        frames.End(ok=1, failed=0, cursor=None, reason="complete"),
        (
            b"event: end\nid: done\n"
            b'data: {"type":"end","ok":1,"failed":0,"cursor":null,"reason":"complete"}'
            b"\n\n"
        ),
    ),
    (
        frames.End(ok=1, failed=0, cursor="c3", reason="shutdown"),
        (
            b"event: end\nid: c3\n"
            b'data: {"type":"end","ok":1,"failed":0,"cursor":"c3","reason":"shutdown"}'
            b"\n\n"
        ),
    ),
    (
        frames.End(ok=0, failed=0, cursor=None, reason="deadline"),
        (
            b"event: end\n"
            b'data: {"type":"end","ok":0,"failed":0,"cursor":null,"reason":"deadline"}'
            b"\n\n"
        ),
    ),
]


@pytest.mark.parametrize(("frame", "expected"), FRAMED)
def test_a_frame_is_an_event(frame: frames.Frame, expected: bytes) -> None:
    assert sse.framed(frame) == expected


async def test_a_view_is_read_as_events(async_client: AsyncClient) -> None:
    for name in views.STEPS:
        views.gates[name].set()

    heard = await events(async_client, "/steps/")

    assert [event["event"] for event in heard] == ["start", *["part"] * 4, "end"]
    assert heard[0]["id"] == heard[0]["data"]["cursor"]
    assert {event["data"]["name"]: event["data"]["data"] for event in heard[1:-1]} == {
        "ready": {"shop": "north"},
        "first": "FIRST",
        "second": "SECOND",
        "third": "THIRD",
    }
    # The last part owes nothing, and has no id: the one before it still counts.
    assert heard[-2]["data"]["cursor"] is None
    assert heard[-2]["id"] == heard[-3]["data"]["cursor"]
    assert heard[-1]["id"] == "done"


async def test_format_asks_for_events_whatever_is_accepted(
    async_client: AsyncClient,
) -> None:
    heard = await events(async_client, "/quick/?format=sse", Accept="application/json")

    assert heard[-1]["event"] == "end"


async def test_the_last_event_id_resumes(async_client: AsyncClient) -> None:
    heard = await events(async_client, "/quick/")
    first = heard[1]["data"]["name"]

    resumed = await events(async_client, "/quick/", **{"Last-Event-ID": heard[1]["id"]})

    assert set(resumed[0]["data"]["parts"]) == {*views.STEPS} - {first}


async def test_the_last_event_id_beats_the_cursor_of_the_address(
    async_client: AsyncClient,
) -> None:
    heard = await events(async_client, "/quick/")
    url = f"/quick/?cursor={heard[0]['id']}"

    resumed = await events(async_client, url, **{"Last-Event-ID": heard[2]["id"]})

    assert len(resumed[0]["data"]["parts"]) == 1
    assert len((await events(async_client, url))[0]["data"]["parts"]) == 3
    empty = await events(async_client, url, **{"Last-Event-ID": ""})
    assert len(empty[0]["data"]["parts"]) == 3


async def test_only_event_streams_have_a_last_event_id(
    async_client: AsyncClient,
) -> None:
    response = await async_client.get("/quick/", headers={"Last-Event-ID": "done"})

    assert response.status_code == 200
    assert response.json()["meta"]["total_parts"] == 3


async def test_whoever_is_done_is_told_to_stay_away(async_client: AsyncClient) -> None:
    response = await async_client.get(
        "/quick/", headers={**EVENTS, "Last-Event-ID": "done"}
    )

    assert response.status_code == 204
    assert response.content == b""


async def test_whoever_is_done_is_asked_who_they_are(async_client: AsyncClient) -> None:
    response = await async_client.get(
        "/needs-user/", headers={**EVENTS, "Last-Event-ID": "done"}
    )

    assert response.status_code == 403


async def test_a_forged_last_event_id_is_a_problem(async_client: AsyncClient) -> None:
    response = await async_client.get(
        "/quick/", headers={**EVENTS, "Last-Event-ID": "forged"}
    )

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "cursor_invalid"


def test_under_wsgi_events_are_answered_as_pages(client: Client) -> None:
    response = client.get("/quick/", headers=EVENTS)

    assert response["Content-Type"] == "application/json"
    assert response.json()["meta"]["total_parts"] == 3


@pytest.mark.django_db(transaction=True)
async def test_a_job_is_followed_as_events(async_client: AsyncClient) -> None:
    job = await Job.objects.acreate(kind="x", state="CANCELLED")
    url = f"/api/operations/{job.pk}/events/"

    heard = await events(async_client, url)

    assert [event["event"] for event in heard] == ["start", "progress", "end"]
    assert heard[1]["data"]["state"] == "CANCELLED"
    assert [event["id"] for event in heard] == ["", "", "done"]
    again = await async_client.get(url, headers={**EVENTS, "Last-Event-ID": "done"})
    assert again.status_code == 204
