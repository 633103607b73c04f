"""What a caller may see now: the whole of Django is asked again, as by a new request
with what the stream was opened with.

Session and token are read anew, middleware, decorators, permissions and `get_parts()`
run. Throttles do not: nobody asked twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse

from django_partstream import conf, handler
from django_partstream.parts.part import Lazy, Part
from django_partstream.problems import Problem

if TYPE_CHECKING:
    import contextlib
    from collections.abc import AsyncGenerator, Mapping

    from django_partstream.parts.plan import Plan
    from django_partstream.parts.runner import Scope

__all__ = (
    "ANOTHER_CALLER",
    "Checked",
    "Permitted",
    "RefusedError",
    "check",
    "is_check",
    "is_live",
    "is_wanted",
    "scope_again",
)

#: In the ASGI scope of a request that only asks what the caller may see.
CHECK = "django_partstream.live_check"

#: Of the first request's headers, what speaks of itself alone.
NOT_REPEATED = frozenset({b"accept", b"last-event-id", b"range"})
#: Nothing is rendered.
ACCEPT = (b"accept", b"*/*")

ANOTHER_CALLER = Problem(
    status=401,
    code="not_authenticated",
    detail="This stream was opened by somebody else than is signed in now.",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """What a caller may see now."""

    plan: Plan
    scope: Scope

    @property
    def user(self) -> Any:
        return getattr(self.scope.request.user, "pk", None)

    def parts(self, only: frozenset[str] | None) -> tuple[Part, ...]:
        return tuple(
            part for part in self.plan.parts if only is None or part.name in only
        )


class Checked(StreamingHttpResponse):
    """The answer to a check: no frames, only what they would be made of."""

    #: Nothing of the request is needed to make them.
    is_over = True

    def __init__(self, permitted: Permitted) -> None:
        super().__init__(_nothing())
        self.permitted = permitted
        self.holds_request_thread = permitted.scope.holds_request_thread(
            filter(is_live, permitted.plan.parts)
        )
        self["Cache-Control"] = "no-store, no-transform"
        self["Content-Encoding"] = "identity"


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield  # makes it a generator


def is_wanted(request: Any) -> bool:
    """Whether the stream is to stay open for changes."""
    return bool(request.query_params.get("live") == "1")


def is_check(request: Any) -> bool:
    """Whether nothing is asked but what the caller may see: see `Checked`."""
    return CHECK in getattr(request._request, "scope", ())


def is_live(part: Part) -> bool:
    return isinstance(part.value, Lazy) and bool(part.value.topics)


class RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


async def check(
    asgi_scope: dict[str, Any], stack: contextlib.AsyncExitStack
) -> Permitted:
    """Ask what may be seen. What the answer needs of its request lasts until `stack` is
    left.

    Raises RefusedError when the answer is no, whoever of Django gave it.
    """
    async with _turn():
        response = await stack.enter_async_context(handler.respond(asgi_scope))

    if response.status_code != HTTPStatus.OK or not isinstance(response, Checked):
        raise RefusedError(handler.problem_of_response(response))

    return response.permitted


def scope_again(scope: Mapping[str, Any], query: str) -> dict[str, Any]:
    """The ASGI scope of the request that checks."""
    headers = [ACCEPT] + [
        (name, value)
        for name, value in scope["headers"]
        if name not in NOT_REPEATED and not name.startswith(b"if-")
    ]

    return {**scope, "headers": headers, "query_string": query.encode(), CHECK: True}


_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
    weakref.WeakKeyDictionary()
)


def _turn() -> asyncio.Semaphore:
    """So many checks run at a time as sync parts do: each needs a connection."""
    loop = asyncio.get_running_loop()

    if loop not in _turns:
        _turns[loop] = asyncio.Semaphore(conf.current().threads)

    return _turns[loop]
