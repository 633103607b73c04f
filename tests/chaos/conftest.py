"""The databases of the chaos tests, and processes for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from django.db import connections

from asgi_example import services
from tests.chaos.arena import ALIAS, NOTES, Arena, Zygote
from tests.conftest import TIERS

#: Of what is random; `make chaos SEED=…` repeats a run.
SEED = int(os.environ.get("SEED") or int.from_bytes(os.urandom(3)))


def pytest_report_header() -> str:
    return f"chaos: SEED={SEED}"


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    for note in NOTES:
        terminalreporter.write_line(note)


@pytest.fixture(scope="session")
def chaos_postgresql(pytestconfig: pytest.Config) -> Iterator[services.PostgreSQL]:
    """A server that loses nothing it has promised."""
    pytestconfig.stash[TIERS].need("postgresql", "postgresql")

    with services.postgresql(durable=True) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    directory = tmp_path_factory.mktemp("sqlite")
    environment = {
        "TEST_DATABASE": "sqlite",
        "TEST_SQLITE_PATH": str(directory / "chaos.sqlite3"),
    }

    with prepared(directory, environment) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def postgresql_zygote(
    tmp_path_factory: pytest.TempPathFactory, chaos_postgresql: services.PostgreSQL
) -> Iterator[Zygote]:
    environment = {"TEST_DATABASE": "postgresql", **chaos_postgresql.environment}

    with prepared(tmp_path_factory.mktemp("postgresql"), environment) as zygote:
        yield zygote


@contextlib.contextmanager
def prepared(directory: Path, environment: dict[str, str]) -> Iterator[Zygote]:
    zygote = Zygote(directory, environment)

    try:
        pid = zygote.ask("migrate")
        assert zygote.ask("wait", pid=pid) == 0, zygote.log.read_text()

        yield zygote
    finally:
        zygote.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def arena(request: pytest.FixtureRequest, settings: Any, django_db_blocker: Any) -> Any:
    yield from on(request.param, request, settings, django_db_blocker)


@pytest.fixture
def postgresql_arena(
    request: pytest.FixtureRequest, settings: Any, django_db_blocker: Any
) -> Any:
    yield from on("postgresql", request, settings, django_db_blocker)


@pytest.fixture
def chosen_arena(
    kind: str, request: pytest.FixtureRequest, settings: Any, django_db_blocker: Any
) -> Any:
    """On the database that a fixture `kind` of the test's names."""
    yield from on(kind, request, settings, django_db_blocker)


def on(
    kind: str, request: pytest.FixtureRequest, settings: Any, blocker: Any
) -> Iterator[Arena]:
    zygote: Zygote = request.getfixturevalue(f"{kind}_zygote")
    connections.settings[ALIAS] = {
        **connections.settings["default"],
        **database(kind, request),
    }
    settings.DATABASE_ROUTERS = ["tests.chaos.routers.ToChaos"]
    arena = Arena(kind, zygote, SEED)

    try:
        with blocker.unblock():
            yield arena
            arena.close()
            empty()
            connections[ALIAS].close()
    finally:
        arena.close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


def database(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if kind == "sqlite":
        zygote: Zygote = request.getfixturevalue("sqlite_zygote")

        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(zygote.log.parent / "chaos.sqlite3"),
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }

    server: services.PostgreSQL = request.getfixturevalue("chaos_postgresql")

    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": server.database,
        "USER": server.user,
        "HOST": server.host,
        "PORT": str(server.port),
        "OPTIONS": {},
    }


def empty() -> None:
    with connections[ALIAS].cursor() as cursor:
        for table in (
            *("partstream_jobbatch", "partstream_jobinput", "partstream_job"),
            *("partstream_worker", "chaos_effect", "chaos_counter"),
        ):
            cursor.execute(f"DELETE FROM {table}")
