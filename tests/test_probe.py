"""`manage.py partstream_probe`, against a real server and what stands before it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from asgi_example import ports
from asgi_example.processes import Site
from django_partstream.probe import Arrival, judge, probe
from tests.proxies import proxy

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def server():
    """The port of `tests.probe_server` under uvicorn."""
    port = ports.free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "tests.probe_server:application"),
        *("--port", str(port), "--log-level", "warning"),
    ]

    with Site() as site:
        process = site.start("uvicorn", command, cwd=ROOT)
        process.wait_until(lambda: ports.answers(port, "/plain/"), seconds=60)
        yield port


def run(url, *options):
    """What the command prints, and its exit code."""
    out = io.StringIO()

    try:
        call_command("partstream_probe", url, *options, stdout=out)
    except SystemExit as stop:
        return out.getvalue(), stop.code

    return out.getvalue(), 0


def in_quiet(look, is_good):
    """What `look()` gives, once it is good: a machine that is busy for a moment holds
    back, too, and what is measured is time."""
    found = look()

    for _ in range(4):
        if is_good(found):
            break

        found = look()

    return found


def is_streaming(ran):
    return ran[1] == 0


@pytest.mark.parametrize(
    ("options", "content_type"),
    [([], "application/x-ndjson"), (["--sse"], "text/event-stream")],
)
def test_stream_that_arrives_as_it_leaves(server, options, content_type):
    text, code = in_quiet(
        lambda: run(f"http://127.0.0.1:{server}/dashboard/", *options), is_streaming
    )
    lines = text.splitlines()

    assert code == 0
    assert lines[0].startswith(f"200 {content_type}")
    assert [line.split("  ")[-1] for line in lines[-6:-1]] == [
        "start now, middle, slowest",
        "part now",
        "part middle",
        "part slowest",
        "end",
    ]
    assert lines[-1].startswith("streaming: 5 frames came in ")


def test_proxy_that_hands_on_at_once_is_named_and_not_blamed(server):
    with proxy(server, "through") as port:
        text, code = in_quiet(
            lambda: run(f"http://127.0.0.1:{port}/dashboard/"), is_streaming
        )

    assert code == 0
    assert "Via: 1.1 through" in text.splitlines()


@pytest.mark.parametrize(
    ("way", "verdict", "code"),
    [
        ("hold", "held back: 5 frames came in 1 lots over 0 ms, but the longest", 3),
        ("gzip", "compressed: something on the way made gzip of it in spite of", 4),
        ("cut", "truncated: the connection was closed", 5),
    ],
)
def test_what_a_proxy_did_is_told(server, way, verdict, code):
    with proxy(server, way) as port:
        text, got = run(f"http://127.0.0.1:{port}/dashboard/")

    assert (text.splitlines()[-1].startswith(verdict), got) == (True, code), text
    assert f"Via: 1.1 {way}" in text


def test_proxy_that_fills_blocks_held_some_parts_back(server):
    with proxy(server, "blocks") as port:
        report = probe(f"http://127.0.0.1:{port}/dashboard/")

    assert report.verdict == "held back", report
    assert [arrival.frame["type"] for arrival in report.arrivals] == [
        "start",
        "part",
        "part",
        "part",
        "end",
    ]


def test_gzip_that_leaves_frame_by_frame_is_read_member_by_member(server):
    judged = "as for the frames, streaming: 5 frames came in "

    with proxy(server, "gzip") as port:
        report = in_quiet(
            lambda: probe(f"http://127.0.0.1:{port}/dashboard/"),
            lambda report: judged in report.reason,
        )

    assert len(report.arrivals) == 5
    assert judged in report.reason


def test_stream_of_parts_that_are_there_tells_nothing(server):
    text, code = run(f"http://127.0.0.1:{server}/quick/")

    assert code == 9
    assert "and no part took 100 ms. Probe a view with a part that takes longer" in text


def test_stream_that_goes_on_is_left_after_the_time_given(server):
    text, code = run(f"http://127.0.0.1:{server}/endless/", "--seconds", "1")

    assert code == 9
    assert text.splitlines()[-1].endswith("; it is still open.")


def test_json_is_no_stream(server):
    text, code = run(f"http://127.0.0.1:{server}/plain/")

    assert code == 6
    assert text.splitlines() == [
        "200 application/json",
        "Server: uvicorn",
        '{"results": []}',
        (
            "not a stream: its content type is application/json: pages, which is what "
            "a server without ASGI gives."
        ),
    ]


def test_refusal_is_printed_with_its_problem(server):
    text, code = run(f"http://127.0.0.1:{server}/private/")

    assert code == 7
    assert '"code":"not_authenticated"' in text
    assert text.splitlines()[-1] == "refused: 403 Forbidden."


def test_headers_are_sent(server):
    text, code = run(
        f"http://127.0.0.1:{server}/private/", "--header", "Accept: text/plain"
    )

    assert (text.splitlines()[-1], code) == ("refused: 406 Not Acceptable.", 7)


def test_server_that_is_not_there(refusing_port):
    text, code = run(f"http://127.0.0.1:{refusing_port}/")

    assert code == 8
    assert (
        text == "unreachable: ConnectionRefusedError: [Errno 111] Connection refused.\n"
    )


@pytest.mark.parametrize("url", ["/api/dashboard/", "ftp://shop.example/", "http:///x"])
def test_address_without_a_server_says_what_to_write(url):
    with pytest.raises(CommandError) as caught:
        call_command("partstream_probe", url)

    assert str(caught.value) == (
        f"{url!r} is no address of a server. What is measured lies between a client "
        "and the server, so name both: https://shop.example/api/dashboard/."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--header", "Authorization"],
            "--header is 'Authorization'; expected 'Name: value'.",
        ),
        (["--seconds", "0"], "--seconds is 0; expected more than zero."),
    ],
)
def test_option_that_makes_no_sense_says_so(options, message):
    with pytest.raises(CommandError) as caught:
        call_command("partstream_probe", "http://127.0.0.1/", *options)

    assert str(caught.value) == message


def arrivals(*frames):
    """Of (milliseconds of arrival, milliseconds of work)."""
    return [
        Arrival(at=at / 1000, size=10, frame={"type": "part", "name": at, "ms": work})
        for at, work in frames
    ]


START = Arrival(at=0.0, size=10, frame={"type": "start", "parts": ["a", "b"]})


@pytest.mark.parametrize(
    ("frames", "verdict"),
    [
        # Each as long after the start as its work.
        ([(1, 1), (301, 300), (702, 700)], "streaming"),
        # All at the end: the start too, so that nothing lies between them.
        ([(0, 1), (1, 300), (2, 700)], "held back"),
        # The second waited for the third.
        ([(1, 1), (700, 300), (701, 700)], "held back"),
        # They took equally long, and may come together.
        ([(1, 1), (700, 695), (701, 700)], "streaming"),
        # The way is long, but not longer for one than for the other.
        ([(40, 1), (340, 300), (740, 700)], "streaming"),
        ([(1, 1), (2, 2)], "too quick to tell"),
        ([], "too quick to tell"),
    ],
)
def test_times_are_judged(frames, verdict):
    assert judge([START, *arrivals(*frames)])[0] == verdict


def test_parts_that_had_to_wait_for_their_turn_are_not_called_late():
    waited = [START, *arrivals((300, 300), (600, 300), (600, 600))]

    assert judge(waited)[0] == "held back"
    assert judge(waited, max_running=2)[0] == "streaming"


def test_frames_without_work_are_judged_by_the_time_between_them():
    progress = [
        Arrival(at=at, size=10, frame={"type": "progress", "seq": 1})
        for at in (0.1, 0.6, 1.2)
    ]

    assert judge([START, *progress])[0] == "streaming"
    assert judge([START])[0] == "too quick to tell"
