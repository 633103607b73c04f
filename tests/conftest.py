"""Servers for the tests, and what to do where one cannot be had.

A test that needs what is not installed is skipped, and the last lines of the run say
so. With CI=true or PARTSTREAM_REQUIRE_ALL=1 it fails.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

from asgi_example import ports, programs, services
from tests import forms, npm, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.terminal import TerminalReporter

#: What the tests with a marker need.
NEEDS = {
    "browser": ("chromium",),
    "full": ("postgresql", "redis"),
}

# The same inputs each time: who changes a line must not pay for the luck of another.
# New ones are for the long form, and for `--hypothesis-profile=default`. How long a
# machine takes says nothing of what is tested.
hypothesis.settings.register_profile(
    "calm",
    derandomize=not forms.LONG,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("calm")

missing = functools.cache(programs.missing)


class Tiers:
    """What was left out of this run, and why."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}

    def need(self, tier: str, *names: str) -> None:
        for name in names:
            reason = missing(name)

            if reason is not None:
                self.leave_out(tier, reason)

    def leave_out(self, tier: str, reason: str) -> NoReturn:
        self.left_out[tier] = reason
        message = f"left out: {tier} ({reason})"

        if everything_is_required():
            pytest.fail(message, pytrace=False)

        pytest.skip(message)


TIERS = pytest.StashKey[Tiers]()


def everything_is_required() -> bool:
    return (
        os.environ.get("CI") == "true"
        or os.environ.get("PARTSTREAM_REQUIRE_ALL") == "1"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIERS] = Tiers()
    config.addinivalue_line(
        "markers", "database: also run on PostgreSQL and on MariaDB"
    )
    config.addinivalue_line("markers", "browser: needs Chromium")
    config.addinivalue_line("markers", "chaos: ends processes and servers that work")
    config.addinivalue_line("markers", "large: loads a whole year of flights")
    config.addinivalue_line("markers", "full: runs `make demo-full`'s system")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, names in NEEDS.items():
        if item.get_closest_marker(marker) is not None:
            item.config.stash[TIERS].need(marker, *names)


def pytest_terminal_summary(
    terminalreporter: TerminalReporter, config: pytest.Config
) -> None:
    lines = [
        f"left out: {tier} ({reason})"
        for tier, reason in config.stash[TIERS].left_out.items()
    ]

    for line in lines:
        terminalreporter.write_line(line)

    # `tests.run` repeats them below its last step.
    collected = os.environ.get("PARTSTREAM_LEFT_OUT")

    if collected is not None:
        with Path(collected).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


@pytest.fixture(scope="session")
def leave_out(pytestconfig: pytest.Config) -> Callable[[str, str], NoReturn]:
    """For a test that finds out itself that it cannot run: `leave_out(tier, why)`."""
    return pytestconfig.stash[TIERS].leave_out


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> Iterator[services.PostgreSQL]:
    """A private PostgreSQL, whatever database the tests run on."""
    pytestconfig.stash[TIERS].need("postgresql", "postgresql")

    with services.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[services.Redis]:
    """A private Redis. A test that kills it restarts it."""
    pytestconfig.stash[TIERS].need("redis", "redis")

    with services.redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: services.Redis) -> str:
    """The private Redis, emptied."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()

    return redis_server.url


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port at which nobody listens, nor will before the end of the test."""
    with ports.listen(0) as bound:
        yield int(bound.getsockname()[1])


@pytest.fixture(scope="session")
def chromium_path(pytestconfig: pytest.Config) -> Path:
    pytestconfig.stash[TIERS].need("browser", "chromium")
    found = programs.find_chromium()
    assert found is not None  # or need() had not returned
    return found


@pytest.fixture(scope="session")
def npm_packages(leave_out: Callable[[str, str], NoReturn]) -> Path:
    """The folder of the packages that `tests/js/package.json` names."""
    reason = npm.install()

    if reason is not None:
        leave_out("packages of npm", reason)

    return npm.PACKAGES


def pytest_report_header() -> str:
    return f"database: {settings.TEST_DATABASE}"
