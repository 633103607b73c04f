"""A job from outside: its snapshots until it has ended, whatever the network does."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from typing import TYPE_CHECKING, Any

from .site import Answer, LoadError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .site import Site

__all__ = ("LOST", "TERMINAL", "Snapshot", "follow", "retried")

Snapshot = dict[str, Any]

TERMINAL = frozenset({"SUCCESS", "FAILURE", "CANCELLED"})

#: What a connection that is gone raises.
LOST = (OSError, http.client.HTTPException)

#: How long a server may be away before we give up.
PATIENCE_SECONDS = 300.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0

#: How long a server is asked to keep a question for the status open.
WAIT_SECONDS = 10
POLL_SECONDS = 1.0


class _AwayError(Exception):
    """The server cannot answer now."""


def retried(ask: Callable[[], Answer], say: Callable[[str], None]) -> Answer:
    """An answer below 500, asked for again while the server is away. Raises LoadError
    when it stays away."""
    patience = _Patience(say)

    while True:
        try:
            answer = ask()
            _check_away(answer)
        except (*LOST, _AwayError) as error:
            patience.wait(error)
        else:
            return answer


class _Patience:
    """Longer and longer pauses, until it has run out."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.reset()

    def reset(self) -> None:
        self._pause = FIRST_PAUSE
        self._ends_at: float | None = None

    def wait(self, error: Exception) -> None:
        """Raises LoadError when it has run out."""
        now = time.monotonic()
        text = str(error) or type(error).__name__

        if self._ends_at is None:
            self._ends_at = now + PATIENCE_SECONDS
            self._say(f"connection lost ({text}); trying again")
        elif now > self._ends_at:
            raise LoadError(
                f"The server was away for {PATIENCE_SECONDS:g} s: {text}. The job "
                "goes on without us."
            ) from error

        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def follow(
    site: Site, status_url: str, events_url: str, say: Callable[[str], None]
) -> Iterator[Snapshot]:
    """Snapshots of the job, none older than the one before, the last one terminal.

    From its events where the server streams; else, and between two connections, from
    its status. Raises LoadError where the job is not to be seen, or the server stays
    away.
    """
    seq = -1

    for snapshot in _snapshots(site, status_url, events_url, say):
        if snapshot.get("seq", 0) > seq:
            seq = snapshot.get("seq", 0)
            yield snapshot

        if snapshot["state"] in TERMINAL:
            return


def _snapshots(
    site: Site, status_url: str, events_url: str, say: Callable[[str], None]
) -> Iterator[Snapshot]:
    patience = _Patience(say)
    streams = True

    while True:
        try:
            if streams:
                streams = yield from _streamed(site, events_url, patience)

            yield _status(site, status_url)
            patience.reset()
        except (*LOST, _AwayError) as error:
            patience.wait(error)


def _streamed(
    site: Site, events_url: str, patience: _Patience
) -> Generator[Snapshot, None, bool]:
    """The snapshots of one connection; returns whether the server streams at all."""
    accept = {"Accept": "application/x-ndjson"}

    with site.open("GET", events_url, headers=accept) as response:
        if response.status != 200:
            _check(_answer(response))

        if response.headers.get_content_type() != "application/x-ndjson":
            return False

        for line in response:
            # A line that was cut off; the next connection begins with all of it.
            with contextlib.suppress(ValueError):
                frame = json.loads(line)

                if frame.get("type") == "progress":
                    patience.reset()
                    yield frame

    return True


def _status(site: Site, status_url: str) -> Snapshot:
    """The job as it stands; not much sooner than it is worth to ask again."""
    began = time.monotonic()
    prefer = {"Prefer": f"wait={WAIT_SECONDS}"}
    answer = site.ask("GET", status_url, headers=prefer)
    _check(answer)
    snapshot: Snapshot = answer.json()

    if not isinstance(snapshot, dict) or "state" not in snapshot:
        raise LoadError(f"{site.address(status_url)} answers with no job's status.")

    if snapshot["state"] not in TERMINAL:
        # One that does not know `wait` answers at once.
        time.sleep(max(0.0, began + POLL_SECONDS - time.monotonic()))

    return snapshot


def _answer(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): text for name, text in response.getheaders()}

    return Answer(
        status=response.status,
        reason=response.reason,
        headers=headers,
        body=response.read(),
    )


def _check_away(answer: Answer) -> None:
    if answer.status >= 500 or answer.status == 429:
        raise _AwayError(refusal(answer))


def _check(answer: Answer) -> None:
    _check_away(answer)

    if answer.status != 200:
        raise LoadError(f"The job can no longer be seen: {refusal(answer)}")
