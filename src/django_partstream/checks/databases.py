"""Checks of DATABASES, and of the servers behind it where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Info, Warning  # noqa: A004
from django.db import connections, router

from django_partstream import conf

from . import project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = (
    "check_atomic_requests",
    "check_connection_pool",
    "check_max_connections",
    "check_persistent_connections",
    "check_sqlite_journal",
    "check_sqlite_transactions",
)

#: How many connections psycopg's pool has where nothing is said.
POOL_SIZE = 4
MAX_CONNECTIONS = {
    "postgresql": "SELECT current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int",
    "mysql": "SELECT @@max_connections",
}


def check_atomic_requests(**_: Any) -> list[CheckMessage]:
    """Whoever counts on ATOMIC_REQUESTS knows where it does not hold."""
    aliases = _aliases_with("ATOMIC_REQUESTS")

    if not aliases or not project.is_progressive():
        return []

    return [
        Info(
            f"ATOMIC_REQUESTS is on for {_names(aliases)}, but no transaction spans "
            "the parts of a progressive view: each has a connection of its own.",
            hint="Open transaction.atomic() inside the part that needs one.",
            id="partstream.I001",
        )
    ]


def check_persistent_connections(**_: Any) -> list[CheckMessage]:
    """Under ASGI threads of requests come and go; their connections do not go."""
    aliases = _aliases_with("CONN_MAX_AGE")

    if conf.problems() or not aliases or not project.serves_asgi():
        return []

    return [
        Warning(
            f"CONN_MAX_AGE is set for {_names(aliases)}. Under ASGI the threads of "
            "requests come and go, and their connections stay open without them.",
            hint='Set CONN_MAX_AGE = 0; on PostgreSQL, OPTIONS = {"pool": '
            f'{{"max_size": {_needed()}}}}} keeps connections.',
            id="partstream.W002",
        )
    ]


def check_connection_pool(**_: Any) -> list[CheckMessage]:
    """Every thread of ours can have a connection, and the request's one beside."""
    if conf.problems() or not project.is_progressive():
        return []

    return [
        Warning(
            f"The connection pool of {alias!r} has {size} connections, fewer than "
            f"PARTSTREAM['THREADS'] + 1 = {_needed()}: sync parts wait for each other.",
            hint=f'Set OPTIONS["pool"] = {{"max_size": {_needed()}}} or more, or lower '
            "THREADS.",
            id="partstream.W003",
        )
        for alias in connections
        if (size := _pool_size(alias)) is not None and size < _needed()
    ]


def check_sqlite_transactions(**_: Any) -> list[CheckMessage]:
    """Processes that write to one SQLite file wait for each other."""
    alias = _jobs_alias()
    mode = _options(alias).get("transaction_mode") or "DEFERRED"

    if not _is_shared_sqlite(alias) or mode.upper() in {"IMMEDIATE", "EXCLUSIVE"}:
        return []

    return [
        Warning(
            f"{alias!r} is SQLite with {mode} transactions, and several processes "
            "write to it: one that turns from reading to writing fails with «database "
            "is locked» at once, whatever the timeout.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL;"}.',
            id="partstream.W007",
        )
    ]


def check_sqlite_journal(
    databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Processes read one SQLite file while another writes."""
    alias = _jobs_alias()

    if alias not in (databases or ()) or not _is_shared_sqlite(alias):
        return []

    mode = _value(connections[alias], "PRAGMA journal_mode")

    if mode == "wal":
        return []

    return [
        Warning(
            f"{alias!r} is SQLite with the journal mode {mode!r}, and several "
            "processes use it: a batch of a job locks every reader out.",
            hint='Set OPTIONS = {"init_command": "PRAGMA journal_mode=WAL;"}.',
            id="partstream.W008",
        )
    ]


def check_max_connections(
    databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """The server has room for the connections of all processes, where
    WEB_CONCURRENCY says how many those are."""
    if conf.problems() or not project.is_progressive():
        return []

    processes = project.serving_processes()
    wanted = processes * _needed()

    return [
        Warning(
            f"{processes} process{'' if processes == 1 else 'es'} of "
            f"PARTSTREAM['THREADS'] + 1 = {_needed()} connections may open {wanted} to "
            f"{alias!r}; its server allows {allowed}.",
            hint="Lower THREADS, raise max_connections, or put PgBouncer or the like "
            "between them.",
            id="partstream.W009",
        )
        for alias in databases or ()
        if (query := MAX_CONNECTIONS.get(connections[alias].vendor))
        and (allowed := _value(connections[alias], query)) < wanted
    ]


def _aliases_with(key: str) -> list[str]:
    # 0 and False are off; None is a CONN_MAX_AGE without end.
    return [
        alias for alias in connections if connections[alias].settings_dict[key] != 0
    ]


def _names(aliases: list[str]) -> str:
    return ", ".join(map(repr, aliases))


def _needed() -> int:
    return conf.current().threads + 1


def _options(alias: str) -> dict[str, Any]:
    options: dict[str, Any] = connections[alias].settings_dict["OPTIONS"]

    return options


def _pool_size(alias: str) -> int | None:
    """The most connections of an alias; None where it has no pool."""
    pool = _options(alias).get("pool")

    if connections[alias].vendor != "postgresql" or not pool:
        return None

    sizes = {} if pool is True else pool
    size: int | None = sizes.get("max_size")

    return sizes.get("min_size", POOL_SIZE) if size is None else size


def _jobs_alias() -> str:
    from django_partstream.models import Job

    return router.db_for_write(Job)


def _is_shared_sqlite(alias: str) -> bool:
    several = project.why_several_processes() is not None

    return several and connections[alias].vendor == "sqlite"


def _value(connection: BaseDatabaseWrapper, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)

        return cursor.fetchone()[0]
