"""Private servers and what is below them: they start, serve, and leave nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql
import pytest
import redis

from asgi_example import ports, processes, programs, services
from asgi_example.processes import Site, StartError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SERVERS: dict[str, Any] = {
    "postgresql": services.postgresql,
    "redis": services.redis,
    "mariadb": services.mariadb,
}


@pytest.fixture(params=SERVERS)
def start(request, leave_out) -> Any:
    """Each server's context manager in turn."""
    reason = programs.missing(request.param)

    if reason is not None:
        leave_out(request.param, reason)

    return SERVERS[request.param]


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture
def open_directory(site):
    """A directory that other users may read, as pytest's are not."""
    site.directory.chmod(0o755)
    return site.directory


def eventually(state: Callable[[], bool]) -> bool:
    """Wait for `state()`, 60 s at most."""
    deadline = time.monotonic() + 60

    while not state() and time.monotonic() < deadline:
        time.sleep(0.02)

    return state()


def is_running(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()[:1] not in {"", "Z"}


def ask(server: Any) -> Any:
    """What a real client of the server gets."""
    match server:
        case services.PostgreSQL():
            with psycopg.connect(
                host=server.host,
                port=server.port,
                user=server.user,
                dbname=server.database,
            ) as connection:
                return connection.execute("SELECT lower('ÀÉ')").fetchone()

        case services.Redis():
            with redis.Redis.from_url(server.url) as client:
                return client.ping()

        case services.MariaDB():
            connection = pymysql.connect(
                host=server.host, port=server.port, user=server.user
            )

            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT @@character_set_server, @@character_set_database"
                )
                return cursor.fetchone()


ANSWERS = {
    services.PostgreSQL: ("àé",),
    services.Redis: True,
    services.MariaDB: ("utf8mb4", "utf8mb4"),
}


def test_server_serves_and_leaves_nothing(start, monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("MYSQL_TCP_PORT", "1")

    with start() as server:
        directory = server.process.log.parent
        answer = ask(server)

    assert answer == ANSWERS[type(server)]
    assert not is_running(server.process.pid)
    assert not directory.exists()
    assert not ports.answers(server.port)


def test_two_servers_run_side_by_side(start):
    with start() as one, start() as other:
        assert one.port != other.port
        assert ask(one) == ask(other) == ANSWERS[type(one)]


def test_redis_comes_back_empty_on_the_same_port(leave_out):
    if reason := programs.missing("redis"):
        leave_out("redis", reason)

    with services.redis() as server, redis.Redis.from_url(server.url) as client:
        first = server.process.pid
        client.set("key", "value")

        server.kill()
        killed = server.process.exit_code
        server.restart()

        assert killed == -signal.SIGKILL
        assert client.get("key") is None
        assert server.process.pid != first


UNPRIVILEGED = """
import json, os
from asgi_example import services
from asgi_example.processes import StartError

seen = {}
for name in ("postgresql", "redis", "mariadb"):
    if services.programs.missing(name) is None:
        with getattr(services, name)() as server:
            seen[name] = [server.process.pid, str(server.process.log.parent)]
print(json.dumps(seen))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="the other tests do it as that user")
def test_servers_run_for_an_ordinary_user(open_directory, leave_out):
    package = open_directory / "asgi_example"
    package.mkdir()

    # A checkout of root's may be closed to others; these need nothing beside them.
    for module in ("__init__", "ports", "processes", "programs", "services"):
        shutil.copy(ROOT / "asgi_example" / f"{module}.py", package)

    python = interpreter_for_all(open_directory) or leave_out(
        "unprivileged", "no Python 3.11 that other users may run"
    )
    done = subprocess.run(
        [python, "-B", "-c", UNPRIVILEGED],
        cwd=open_directory,
        env={"PATH": os.environ["PATH"], "HOME": str(open_directory)},
        user="nobody",
        group=0,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    seen = json.loads(done.stdout)
    assert seen.keys() == {name for name in SERVERS if not programs.missing(name)}
    assert not any(is_running(pid) for pid, _ in seen.values())
    assert not any(Path(directory).exists() for _, directory in seen.values())


def interpreter_for_all(directory: Path) -> str | None:
    """A new enough Python that `nobody` may run."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"

    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            done = subprocess.run(
                [candidate, "-c", check], cwd=directory, user="nobody", check=False
            )
        except OSError:
            continue

        if done.returncode == 0:
            return candidate

    return None


def test_failing_start_names_the_log_and_shows_its_end(site):
    process = site.start("sulky", ["sh", "-c", "echo no room; exit 3"])

    with pytest.raises(StartError) as failed:
        process.wait_until(lambda: False, seconds=60)

    assert str(failed.value) == (
        f"sulky failed: it ended with code 3. The end of {site.directory}/sulky.log:\n"
        "no room"
    )


def test_silent_start_is_given_up_after_its_time(site):
    process = site.start("silent", ["sleep", "600"])

    with pytest.raises(StartError) as failed:
        process.wait_until(lambda: False, seconds=0)

    assert str(failed.value) == (
        "silent failed: it was not ready within 0 s. "
        f"The end of {site.directory}/silent.log:\n"
    )


def test_server_that_cannot_start_leaves_nothing(open_directory, monkeypatch):
    binaries, place = open_directory / "bin", open_directory / "place"
    binaries.mkdir()
    place.mkdir()
    script(binaries / "redis-server", "echo v=7: no room; test $1 = --version")
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(place))

    with pytest.raises(StartError, match=r"redis\.log:\nv=7: no room$"):
        services.redis().__enter__()

    assert list(place.iterdir()) == []


def test_program_that_cannot_be_run_is_named(site):
    with pytest.raises(StartError) as failed:
        site.start("absent", ["/nonexistent/program"])

    assert str(failed.value) == (
        "absent cannot be run: [Errno 2] No such file or directory: "
        "'/nonexistent/program'."
    )


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_stubborn_process_and_its_children_are_killed(site):
    process = site.start(
        "stubborn", ["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; wait"]
    )
    process.wait_until_logged("\n", seconds=60)
    child = int(process.output())

    process.stop(seconds=0.1)

    assert process.exit_code == -signal.SIGKILL
    assert eventually(lambda: not is_running(child))


def test_children_end_with_a_process_that_dies(site):
    process = site.start("parent", ["sh", "-c", "sleep 600 & echo $!; wait"])
    process.wait_until_logged("\n", seconds=60)
    child = int(process.output())

    os.kill(process.pid, signal.SIGKILL)

    assert eventually(lambda: process.exit_code == -signal.SIGKILL)
    assert eventually(lambda: not is_running(child))


LAUNCHER = """
import time
from asgi_example.processes import Site

with Site() as site:
    process = site.start("lazy", ["sleep", "600"])
    print(process.pid, site.directory, flush=True)
    time.sleep(600)
"""


def test_nothing_survives_the_kill_of_its_launcher():
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        pid, directory = launcher.stdout.readline().split()
        launcher.kill()

    assert eventually(lambda: not is_running(int(pid)))
    assert eventually(lambda: not Path(directory).exists())


def test_directory_is_short_enough_for_a_socket(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with Site() as site:
        assert len(str(site.directory)) < 80


def test_taken_port_is_refused_with_a_free_one():
    with ports.listen(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ports.PortError) as refused:
            ports.listen(port)

    assert str(refused.value) == f"Port {port} cannot be used (Address already in use)."
    ports.listen(refused.value.free).close()


def test_a_free_port_is_told_where_the_next_one_is_taken_too() -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(ports.listen(0))
        first.listen()
        port = first.getsockname()[1]

        with contextlib.suppress(ports.PortError):
            # Somebody's, if not ours.
            stack.enter_context(ports.listen(port + 1)).listen()

        with pytest.raises(ports.PortError) as refused:
            ports.listen(port)

    assert str(refused.value) == (
        f"Port {port} cannot be used (Address already in use)."
    )
    assert refused.value.free > port + 1


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux lets a server listen where another socket is bound",
)
def test_port_that_is_given_is_given_to_nobody_else() -> None:
    port = ports.free_port()

    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(ports.listen(0)) for _ in range(100)]

        assert port not in {other.getsockname()[1] for other in others}

        # But by its number, as a server does.
        with ports.listen(port) as server:
            server.listen()


def test_port_beyond_the_last_is_refused_with_a_free_one():
    with pytest.raises(ports.PortError) as refused:
        ports.listen(70_000)

    assert str(refused.value) == ("Port 70000 cannot be used (ports end at 65535).")
    ports.listen(refused.value.free).close()


def test_wrapper_that_only_has_the_name_is_no_server(tmp_path, monkeypatch):
    # Without an initdb beside it, or with no version to tell.
    script(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 17.2'")
    script(tmp_path / "redis-server", "echo install redis first")
    script(tmp_path / "mariadbd", "echo install mariadb-server first")
    script(tmp_path / "chromium", "echo snap install chromium; exit 10")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found = [program.find() for program in programs.PROGRAMS.values()]

    assert not any(path and path.is_relative_to(tmp_path) for path in found)


@pytest.mark.skipif(sys.platform != "linux", reason="of Debian's packages")
def test_missing_program_is_named_with_what_would_help(tmp_path, monkeypatch):
    script(tmp_path / "apt-get", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(programs.MissingError) as refused:
        services.redis().__enter__()

    assert str(refused.value) == "no Redis; run as root or install redis-server"


NEEDS_A_BROWSER = """
import pytest
from asgi_example import programs

programs.PROGRAMS["chromium"] = programs.Program(
    title="Chromium", find=lambda: None, debian="chromium", homebrew=("chrome",)
)

@pytest.mark.browser
def test_it():
    pass
"""


@pytest.mark.parametrize(
    ("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")]
)
def test_what_cannot_run_is_left_out_aloud(tmp_path, required, outcome):
    test, collected = tmp_path / "test_it.py", tmp_path / "left-out"
    test.write_text(NEEDS_A_BROWSER, encoding="utf-8")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest"),
            *("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, test),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "TEST_SQLITE_PATH": str(tmp_path / "test.sqlite3"),
            "CI": "",
            "PARTSTREAM_REQUIRE_ALL": required,
            "PARTSTREAM_LEFT_OUT": str(collected),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    assert lines[-1].startswith("left out: browser (no Chromium; ")
    assert collected.read_text(encoding="utf-8") == f"{lines[-1]}\n"
    assert outcome in done.stdout


def test_guardian_needs_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-I", "-S", processes.__file__, "/nonexistent"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
