"""Does what a tutorial says, in an empty directory.

    python -m tests.tutorials [DIRECTORY]

Run by a Python that has django-partstream, uvicorn and nothing of this project: what
`make check-wheel` asks for. A block whose first line is a path is added to that file;
`sh` is run, and the `json` or `text` after it is what it prints; `sh server` runs until
the end; `sh restart` is `sh` with that server started anew.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.documents import Block, blocks, is_like

__all__ = ("TUTORIALS", "do")

#: In this order: the second goes on where the first ends.
TUTORIALS = ("docs/tutorial-dashboard.md", "docs/tutorial-load.md")
PORT = 8000


def do(directory: Path, port: int, *, look: Callable[[], None] | None = None) -> int:
    """Do the tutorials; how many commands were run. At the end `look` is called while
    the server runs with everything."""
    found = [block for tutorial in TUTORIALS for block in blocks(tutorial)]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    commands = 0
    server: Block | None = None

    with contextlib.ExitStack() as running:
        for block, after in zip(found, [*found[1:], None], strict=True):
            if block.kind in ("python", "html", "csv"):
                _add(directory, block)
                continue

            if not block.kind.startswith("sh"):
                continue

            if block.kind == "sh server":
                server = block

            if block.kind in ("sh server", "sh restart"):
                assert server is not None
                running.close()
                running.enter_context(_served(server, directory, environment, port))

            if block.kind == "sh server":
                continue

            printed = _run(block, directory, environment, port)
            commands += 1

            if after is not None and after.kind in ("json", "text"):
                _compare(block, after, printed)

        if look is not None:
            assert server is not None
            running.close()
            running.enter_context(_served(server, directory, environment, port))
            look()

    return commands


def _add(directory: Path, block: Block) -> None:
    first, _, rest = block.text.partition("\n")
    name = re.fullmatch(r"(?:# |<!-- )(\S+)(?: -->)?", first)
    assert name is not None, f"{block}: the first line is not a path: {first}"
    file = directory / name[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() + "\n" if file.exists() else ""
    file.write_text(before + rest)


def _command(text: str, port: int) -> str:
    return text.replace("localhost:8000", f"127.0.0.1:{port}").replace(
        "--port 8000", f"--port {port}"
    )


def _run(
    block: Block, directory: Path, environment: Mapping[str, str], port: int
) -> str:
    # What would be installed is there already: it is what is tried.
    text = re.sub(r"^python -m pip install .*\n", "", block.text)
    done = subprocess.run(
        ["bash", "-eu", "-c", _command(text, port)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}: {block.text}\n{done.stdout}\n{done.stderr}"

    return done.stdout


def _compare(block: Block, after: Block, printed: str) -> None:
    if after.kind == "text":
        assert printed.split() == after.text.split(), f"{block}: {printed}"
        return

    shown, found = after.text.splitlines(), printed.splitlines()
    assert len(shown) == len(found), f"{block}: {printed}"

    for one, other in zip(shown, found, strict=True):
        assert is_like(json.loads(one), json.loads(other)), f"{block}: {other}"


@contextlib.contextmanager
def _served(
    block: Block, directory: Path, environment: Mapping[str, str], port: int
) -> Iterator[None]:
    log = directory / "server.log"

    with log.open("w") as output:
        server = subprocess.Popen(
            ["bash", "-c", "exec " + _command(block.text, port)],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    try:
        _wait_until_open(server, port, log)
        yield
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_until_open(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 120

    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()

        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return

        time.sleep(0.05)

    raise AssertionError(f"the server does not listen: {log.read_text()}")


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        commands = do(Path(empty), PORT)

    print(f"{len(TUTORIALS)} tutorials, {commands} commands: all as they say")


if __name__ == "__main__":
    main()
