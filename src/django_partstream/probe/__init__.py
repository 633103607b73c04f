"""Whether the frames of a stream arrive as they leave: what a client sees of it.

Opens an address as any client would, and compares when each frame came with how long
the server says that it worked for it. Knows nothing of this project.
"""

from __future__ import annotations

import dataclasses
import http.client
import string
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from .judging import Verdict, judge, judge_reading
from .reading import Arrival, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("Arrival", "Report", "Verdict", "judge", "probe")

TYPES = {"ndjson": "application/x-ndjson", "sse": "text/event-stream"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    verdict: Verdict
    reason: str
    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    arrivals: Sequence[Arrival] = ()
    #: What came in place of frames.
    body: str = ""


def probe(
    url: str,
    *,
    sse: bool = False,
    headers: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    max_running: int = 32,
) -> Report:
    """Read the stream at `url` for at most `seconds` and judge it.

    `max_running` parts run at a time there; more make it impossible to say which of
    them waited. Raises ValueError for what is no http(s) URL.
    """
    kind = TYPES["sse" if sse else "ndjson"]
    ends_at = time.monotonic() + seconds
    connection, target = _connection(url, timeout=seconds)

    try:
        began = time.monotonic()
        # What browsers offer, so that whatever would compress for them does it now.
        asked = {"Accept": kind, "Accept-Encoding": "gzip", **(headers or {})}
        connection.request("GET", target, headers=asked)
        response = connection.getresponse()
        wrong = _no_stream(response, kind)

        if wrong is not None:
            return wrong

        reading = Reading(response, connection, began=began, ends_at=ends_at)
        arrivals = list(reading.arrivals(sse=sse))
        verdict, reason = judge_reading(reading, arrivals, max_running=max_running)

        return Report(
            verdict=verdict,
            reason=reason,
            status=response.status,
            headers=dict(response.getheaders()),
            arrivals=arrivals,
        )
    except (OSError, http.client.HTTPException) as error:
        reason = f"{type(error).__name__}: {error}"
        return Report(verdict="unreachable", reason=reason)
    finally:
        connection.close()


def _connection(url: str, *, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)

    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{url!r} is no address of a server. What is measured lies between a "
            "client and the server, so name both: https://shop.example/api/dashboard/."
        )

    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = quote(target, safe=string.punctuation)

    return kind(parts.hostname, parts.port, timeout=timeout), target


def _no_stream(response: http.client.HTTPResponse, kind: str) -> Report | None:
    """What to say of an answer that is no stream of frames; None of one that is."""
    content_type = response.headers.get_content_type()

    if response.status == 200 and content_type == kind:
        return None

    verdict: Verdict = "not a stream"

    if location := response.getheader("Location"):
        reason = f"it redirects to {location}: probe that"
    elif response.status != 200:
        verdict, reason = "refused", f"{response.status} {response.reason}"
    else:
        reason = f"its content type is {content_type}"

        if content_type == "application/json":
            reason += ": pages, which is what a server without ASGI gives"

    return Report(
        verdict=verdict,
        reason=reason,
        status=response.status,
        headers=dict(response.getheaders()),
        body=response.read(4096).decode(errors="replace"),
    )
