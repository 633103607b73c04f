"""Servers in processes of their own, and what they cost."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import ports
from asgi_example.processes import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asgi_example.processes import Process

__all__ = ("ROOT", "SETTINGS", "Server", "cpu_seconds", "serve")

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
SETTINGS = {"DJANGO_SETTINGS_MODULE": "benchmarks.apps.settings"}


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process since it began, those that have ended too, to the
    nanosecond (Linux)."""
    # What clock_getcpuclockid(3) gives for a process.
    return time.clock_gettime(~pid << 3 | 2)


class Server:
    """A uvicorn, one process, quiet; or a worker, which has no port."""

    def __init__(self, process: Process, port: int) -> None:
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)

    @property
    def whole_cpu_seconds(self) -> float:
        """The same with the threads that have ended, to a hundredth of a second."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        fields = stat.rpartition(")")[2].split()

        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_kib(self) -> int:
        return self._memory("VmRSS")

    @property
    def peak_kib(self) -> int:
        """The largest RSS since `forget_peak` was called."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")

        for line in status.splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])

        raise RuntimeError("The server has ended.")


@contextlib.contextmanager
def serve(
    application: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`module:name` under uvicorn, with uvloop and httptools, until the scope ends."""
    port = ports.free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", f"benchmarks.apps.{application}"),
        *("--port", str(port), "--log-level", "warning", "--no-access-log"),
        *("--ws-per-message-deflate", "false", "--ws-ping-interval", "3600"),
        *("--backlog", "4096", "--timeout-keep-alive", "3600"),
    ]
    name = application.partition(":")[0]

    with Site() as site:
        process = site.start(
            name,
            command,
            cwd=ROOT,
            environment={**os.environ, **SETTINGS, **(environment or {})},
        )
        process.wait_until(
            lambda: ports.answers(port, "/ready/"), seconds=START_SECONDS
        )
        yield Server(process, port)
