"""`make demo` and `make demo-full` as processes: they start, tell, and end cleanly."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asgi_example import ports
from asgi_example.demo_full import FullDemo
from asgi_example.processes import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent

# Servers are made, and started, as the machine has time for it.
pytestmark = pytest.mark.timeout(400)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for all that a launcher makes; every process of it carries it."""
    with Site() as site:
        site.directory.chmod(0o755)
        place = site.directory / "t"
        place.mkdir()
        yield place


@pytest.fixture
def launch(place):
    """`launch(module, *arguments)`: a launcher of our own, killed in the end."""
    with contextlib.ExitStack() as stack:

        def launch(module: str, *arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", f"asgi_example.{module}", *arguments],
                cwd=ROOT,
                env=environment(place),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield launch


def environment(place: Path) -> dict[str, str]:
    # Nothing of a demo, nor of the `make` that may have started these tests.
    foreign = ("DEMO_", "MAKE", "MFLAGS")
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(foreign)},
        "DEMO_DB_PATH": str(place / "demo.sqlite3"),
        "TMPDIR": str(place),
        "PYTHONUNBUFFERED": "1",
    }


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """What it prints, up to the line with `word`."""
    assert process.stdout is not None
    lines = []

    for line in process.stdout:
        lines.append(line)

        if word in line:
            break

    return "".join(lines)


def processes_of(place: Path) -> dict[int, str]:
    """The names of all processes that were started, however indirectly, in `place`."""
    found = {}

    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Servers write their titles over their environment; but these stay.
            traces = (folder / "environ").read_bytes() + bytes(
                (folder / "cwd").readlink()
            )
            name = (folder / "comm").read_text(encoding="utf-8").strip()
        except OSError:
            # It has just ended.
            continue

        if str(place).encode() in traces:
            found[int(folder.name)] = name

    return found


def pythons_of(place: Path) -> int:
    return len([name for name in processes_of(place).values() if "python" in name])


def eventually(state: Callable[[], bool]) -> bool:
    """Wait for `state()`, 60 s at most."""
    deadline = time.monotonic() + 60

    while not state() and time.monotonic() < deadline:
        time.sleep(0.05)

    return state()


@pytest.mark.parametrize(
    ("module", "command"), [("demo", "make demo"), ("demo_full", "make demo-full")]
)
def test_taken_port_is_told_with_one_that_is_free(launch, module, command, request):
    if module == "demo_full":
        request.getfixturevalue("postgresql_server")
        request.getfixturevalue("redis_server")

    with ports.listen(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        process = launch(module, "--port", str(port))
        output, _ = process.communicate()

    told = re.fullmatch(
        rf"Port {port} cannot be used \(Address already in use\)\. "
        rf"Choose another: {command} PORT=(\d+)\n",
        output,
    )
    assert told
    assert process.returncode == 1
    ports.listen(int(told[1])).close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_demo_prints_one_address_that_answers_and_stops_cleanly(launch, how):
    process = launch("demo", "--port", "0")

    output = read_until(process, "Ready")
    addresses = re.findall(r"http://127\.0\.0\.1:(\d+)/", output)
    answered = [ports.answers(int(port)) for port in addresses]
    process.send_signal(how)
    rest, _ = process.communicate()

    assert answered == [True]
    assert process.returncode == 0
    assert rest == "\nStopped.\n"


IN_A_TERMINAL = """
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"""


def test_ctrl_c_is_no_error_to_the_make_above(place):
    makefile = place / "Makefile"
    makefile.write_text(
        f"demo:\n\t@exec {sys.executable} -m asgi_example.demo --port 0\n",
        encoding="utf-8",
    )

    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, "make", "-f", makefile],
        cwd=ROOT,
        env=environment(place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as terminal:
        read_until(terminal, "Ready")
        rest, _ = terminal.communicate("\x03")

    assert rest.split() == ["^C", "Stopped."]
    assert terminal.returncode == 0


@linux_only
@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_full_demo_leaves_nothing_however_it_ends(launch, place, how):
    process = launch("demo_full", "--port", "0")

    output = read_until(process, "Log in")
    address = re.search(r"Ready: http://127\.0\.0\.1:(\d+)/", output)
    assert address, output
    # The launcher, three guardians, three of uvicorn's and the two workers, at least.
    assert eventually(lambda: pythons_of(place) >= 9)
    running = processes_of(place)
    process.send_signal(how)
    process.communicate()

    assert {"postgres", "redis-server"} < set(running.values())
    assert process.returncode == (-how if how == signal.SIGKILL else 0)
    assert eventually(lambda: not processes_of(place))
    assert eventually(lambda: not list(place.iterdir()))


@linux_only
@pytest.mark.full
def test_full_demo_ends_with_the_part_that_dies_and_names_it(launch, place):
    process = launch("demo_full", "--port", "0")
    read_until(process, "Log in")

    running = {name: pid for pid, name in processes_of(place).items()}

    os.kill(running["redis-server"], signal.SIGKILL)
    output, _ = process.communicate()

    assert output.startswith("redis failed: it ended with code -9. The end of ")
    assert output.endswith("Everything else was stopped.\n")
    assert process.returncode == 1
    assert eventually(lambda: not processes_of(place))


@pytest.mark.full
def test_worker_that_dies_is_started_again(place, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("tempfile.tempdir", str(place))

    with FullDemo(say=said.append) as demo:
        first, second = demo.workers
        os.kill(first, signal.SIGKILL)

        assert eventually(lambda: demo.workers[0] != first)
        assert demo.workers[1] == second
        assert demo.failure is None
        revived = demo.workers[0]
        assert ports.answers(int(demo.url.rpartition(":")[2]))

    assert said[-1] == (
        f"worker-1 ended with code -9 and was started again (pid {revived})."
    )
    assert list(place.iterdir()) == []
