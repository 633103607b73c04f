"""`/livez` and `/readyz`: for load balancers and supervisors.

Plain Django, without authentication: they say which part is missing, and never what
an exception said.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.http import JsonResponse
from django.views import View

from . import conf, offload
from .errors import BadRequestError
from .jobs import heartbeat, states, sweeper
from .jobs.queue import get_queue
from .problems import Problem
from .responses import answer_error, problem_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponse, HttpResponseBase

__all__ = ("CHECKS", "LiveView", "ReadyView")

logger = logging.getLogger(__name__)

#: Of one check; a database behind a broken network answers nothing at all.
CHECK_SECONDS = 3.0


class _NotReadyError(Exception):
    """What is missing, and what to do."""


class LiveView(View):
    """The process answers."""

    async def get(self, request: HttpRequest) -> HttpResponseBase:
        return _answer({"status": "alive"})


class ReadyView(View):
    """The process can serve, and jobs will be worked on.

    Answers 200, or 503 with a problem whose `checks` tell which does not hold.
    `?exclude=worker` leaves a check out.
    """

    async def get(self, request: HttpRequest) -> HttpResponseBase:
        excluded = request.GET.getlist("exclude")
        unknown = sorted(set(excluded) - set(CHECKS))

        if unknown:
            return answer_error(
                BadRequestError(
                    f"exclude is {unknown[0][:40]!r}; expected one of "
                    f"{', '.join(map(repr, CHECKS))}."
                )
            )

        found = {name: await _ask(name) for name in CHECKS if name not in excluded}
        wrong = {name: text for name, (ok, text) in found.items() if not ok}
        checks = {name: text for name, (_, text) in found.items()}

        if not wrong:
            return _answer({"status": "ready", "checks": checks})

        return problem_response(
            Problem(
                status=503,
                code="not_ready",
                detail=" ".join(f"{name}: {text}" for name, text in wrong.items()),
                extra={"checks": checks},
            )
        )


def _answer(body: dict[str, Any]) -> HttpResponse:
    return JsonResponse(body, headers={"Cache-Control": "no-store"})


async def _ask(name: str) -> tuple[bool, str]:
    """Whether it holds, and what there is to say."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return True, await CHECKS[name]() or "ok"
    except _NotReadyError as error:
        return False, str(error)
    except TimeoutError:
        return False, f"no answer within {CHECK_SECONDS:g} s."
    except Exception as error:
        # Whatever a database or a queue raises: its text may name hosts and users.
        logger.warning("not ready: %s", name, exc_info=True)

        return False, f"{type(error).__name__}; see the log."


async def _database() -> None:
    await offload.run_sync(_select)


def _select() -> None:
    with connections[states.jobs().db].cursor() as cursor:
        cursor.execute("SELECT 1")


async def _migrations() -> None:
    # Reads every migration of the project; once applied they stay.
    if not _Applied.all:
        await offload.run_sync(_compare)


class _Applied:
    all = False


def _compare() -> None:
    executor = MigrationExecutor(connections[states.jobs().db])
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))

    if missing:
        raise _NotReadyError(
            f"{missing} migrations are not applied. Run manage.py migrate."
        )

    _Applied.all = True


async def _queue() -> str | None:
    try:
        await get_queue().ping()
    except Exception as error:
        if not sweeper.is_sweeping():
            raise

        # Jobs are accepted, and handed out when it is back.
        return f"degraded: {type(error).__name__}, but the sweeper is at work."

    return None


async def _worker() -> None:
    if conf.current().queue == "embedded":
        # This process is the worker.
        return

    if not await offload.run_sync(lambda: heartbeat.alive().exists()):
        seconds = heartbeat.MISSED_BEATS * conf.current().sweep_seconds

        raise _NotReadyError(
            f"none was heard of in the last {seconds:g} s. Start one: "
            "manage.py partstream_worker."
        )


CHECKS: dict[str, Callable[[], Awaitable[str | None]]] = {
    "database": _database,
    "migrations": _migrations,
    "queue": _queue,
    "worker": _worker,
}
