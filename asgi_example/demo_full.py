"""`make demo-full`: the example as it would run in production, on one machine.

PostgreSQL, Redis, two web processes and two workers, all private, all started and
stopped together.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from asgi_example import ports, programs, services
from asgi_example.demo import ROOT, read_port
from asgi_example.processes import Process, Site, StartError, foreground

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ("FullDemo", "main")

WEB_PROCESSES = 2
WORKERS = 2
START_SECONDS = 120.0

# In one process: each start of Django is a second.
PREPARE = "from asgi_example import demo; demo.prepare('load_reference', 'seed_users')"

#: A worker that dies sooner than this after its start, and so often in a row, is not
#: restarted again.
EARLY_SECONDS = 10.0
EARLY_DEATHS = 5


class FullDemo:
    """The whole system, up inside the `with` block.

    A worker that dies is restarted; anything else that dies is told in `failure`.
    With `durable` the database survives a power failure, which only costs time
    where nobody needs it.
    """

    #: Without a slash at the end.
    url: str
    database: services.PostgreSQL
    redis: services.Redis
    #: The folder of `web.log`, `worker-1.log` and so on.
    logs: Path
    #: Which part died, if one did.
    failure: str | None

    def __init__(
        self,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        durable: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._port = port
        self._extra = dict(env or {})
        self._durable = durable
        self._say = say

    def __enter__(self) -> Self:
        self.failure = None
        self._failed = threading.Event()
        self._leaving = threading.Event()
        self._early_deaths = [0] * WORKERS

        with contextlib.ExitStack() as stack:
            self._say("Starting PostgreSQL and Redis")
            self.database = stack.enter_context(
                services.postgresql(durable=self._durable)
            )
            self.redis = stack.enter_context(services.redis())
            self._site = stack.enter_context(Site())
            self.logs = self._site.directory
            self._start()
            supervisor = threading.Thread(target=self._supervise, daemon=True)
            supervisor.start()
            stack.callback(supervisor.join)
            stack.callback(self._leaving.set)
            self._stack = stack.pop_all()

        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def redis_url(self) -> str:
        return self.redis.url

    @property
    def workers(self) -> tuple[int, ...]:
        """The pids of the workers as they are now."""
        return tuple(worker.pid for worker in self._workers)

    def wait(self) -> str:
        """Wait until a part dies that is not restarted; say which."""
        self._failed.wait()
        assert self.failure is not None
        return self.failure

    def _start(self) -> None:
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "asgi_example.settings",
            "PYTHONUNBUFFERED": "1",
            "DEMO_FULL": "1",
            "DEMO_SECRET_KEY": secrets.token_urlsafe(50),
            "DEMO_DATABASE": "postgresql",
            "DEMO_REDIS_URL": self.redis_url,
            **self.database.environment,
            **self._extra,
        }

        self._say("Loading airlines, airports, planes and users")

        self._python("prepare", "-c", PREPARE).finish(seconds=START_SECONDS)

        self._say(f"Starting {WEB_PROCESSES} web processes and {WORKERS} workers")
        port = self._port or ports.free_port()
        self._web = self._python(
            "web",
            *("-m", "uvicorn"),
            "asgi_example.asgi:application",
            *("--host", ports.HOST, "--port", str(port)),
            *("--workers", str(WEB_PROCESSES)),
            *("--ws-per-message-deflate", "false"),
            *("--timeout-graceful-shutdown", "10"),
            "--no-access-log",
        )
        self._workers = [
            self._python(
                f"worker-{number}", "-m", "asgi_example.manage", "partstream_worker"
            )
            for number in range(1, WORKERS + 1)
        ]
        self._web.wait_until_logged(
            "Application startup complete", times=WEB_PROCESSES, seconds=START_SECONDS
        )
        self._web.wait_until(lambda: ports.answers(port), seconds=START_SECONDS)

        self.url = f"http://{ports.HOST}:{port}"

    def _python(self, name: str, *arguments: str) -> Process:
        return self._site.start(
            name,
            [sys.executable, *arguments],
            cwd=ROOT,
            environment=self._environment,
        )

    def _supervise(self) -> None:
        others = (self._web, self.database.process, self.redis.process)

        while not self._leaving.wait(0.1):
            for process in others:
                if process.exit_code is not None:
                    self._fail(process)

            for index, worker in enumerate(self._workers):
                if worker.exit_code is not None:
                    self._revive(index, worker)

    def _revive(self, index: int, worker: Process) -> None:
        early = time.monotonic() - worker.started_at < EARLY_SECONDS
        self._early_deaths[index] = self._early_deaths[index] + 1 if early else 0

        if self._early_deaths[index] >= EARLY_DEATHS:
            self._fail(worker)
            return

        ended = f"{worker.name} ended with code {worker.exit_code}"
        worker.start()
        self._say(f"{ended} and was started again (pid {worker.pid}).")

    def _fail(self, process: Process) -> None:
        if self.failure is None:
            what = f"it ended with code {process.exit_code}"
            self.failure = str(process.failure(what))
            self._failed.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the full demo until interrupted, which is no error, or until a part dies."""
    port = read_port(__doc__, arguments)
    reasons = programs.install("postgresql", "redis")

    if reasons:
        print(
            "make demo-full needs more:", "; ".join(reasons.values()), file=sys.stderr
        )
        return 1

    try:
        # Only tried here: the web processes bind it themselves.
        ports.listen(port).close()
    except ports.PortError as error:
        print(
            f"{error} Choose another: make demo-full PORT={error.free}", file=sys.stderr
        )
        return 1

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)

    with foreground():
        try:
            return run(port)
        except KeyboardInterrupt:
            print("Stopped.")
            return 0
        except StartError as error:
            print(error, file=sys.stderr)
            return 1


def run(port: int) -> int:
    with FullDemo(port=port, durable=True, say=say) as demo:
        say(f"Logs: {demo.logs}")
        say(
            f"\nReady: {demo.url}/  (Ctrl-C stops it)\n"
            "Log in as ann (ann-demo) or bob (bob-demo)."
        )

        try:
            failure = demo.wait()
        except KeyboardInterrupt:
            say("\nStopping")
            raise

    print(failure, "\nEverything else was stopped.", file=sys.stderr)
    return 1


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
