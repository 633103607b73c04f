"""A temporary directory and its processes, which do not outlive us.

Standard library only: run as a script, this file is the guardian that ends the
processes and removes the directory when we were killed and could not.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

__all__ = ("Process", "Site", "StartError", "first_account", "foreground")

#: How long a process may take to end before it is killed.
STOP_SECONDS = 20.0


class StartError(Exception):
    """A process ended or stayed silent instead of becoming ready."""


class Guardian:
    """A process that outlives us by a moment, to clean up what we left.

    It learns of our end by the end of its standard input, whatever ended us.
    """

    def __init__(self, directory: Path) -> None:
        # Its own session, so that no terminal's Ctrl-C reaches it; no output, so
        # that nobody who reads ours waits for it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, pid: int, stop_signal: int) -> None:
        self._tell(f"{pid} {int(stop_signal)}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"{pid} 0\n")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None

        # Without its guardian the work can go on.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()


class Process:
    """A command in a process group of its own, restarted as often as one likes."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        guardian: Guardian,
        log: Path,
        cwd: Path,
        environment: Mapping[str, str] | None,
        account: str | None,
        stop_signal: signal.Signals,
    ) -> None:
        self.name = name
        self.log = log
        self.started_at = 0.0
        self._command = [str(item) for item in command]
        self._guardian = guardian
        self._cwd = cwd
        self._environment = environment
        self._owner = pwd.getpwnam(account) if account else None
        self._stop_signal = stop_signal
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = True

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs. What is left of its group ends with it."""
        code = self._popen.poll()

        if code is not None:
            self._sweep()

        return code

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()

            try:
                self._process = self._spawn(log)
            except OSError as error:
                raise StartError(f"{self.name} cannot be run: {error}.") from error

        self._ended = False
        self.started_at = time.monotonic()
        self._guardian.watch(self.pid, self._stop_signal)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return as soon as `ready()`; raise StartError, with the log's end, if not."""
        deadline = time.monotonic() + seconds

        while True:
            # Looked at first: it may end well between the two.
            code = self.exit_code

            if ready():
                return

            if code is not None:
                raise self.failure(f"it ended with code {code}")

            if time.monotonic() > deadline:
                raise self.failure(f"it was not ready within {seconds:.0f} s")

            time.sleep(0.02)

    def wait_until_logged(self, text: str, *, times: int = 1, seconds: float) -> None:
        """Return as soon as the log has `text`, `times` times since the start."""
        self.wait_until(lambda: self.output().count(text) >= times, seconds=seconds)

    def finish(self, *, seconds: float) -> None:
        """Wait for a command that ends by itself; raise StartError if it fails."""
        self.wait_until(lambda: self.exit_code == 0, seconds=seconds)

    def failure(self, what: str) -> StartError:
        tail = "\n".join(self.output().splitlines()[-20:])
        return StartError(f"{self.name} failed: {what}. The end of {self.log}:\n{tail}")

    def output(self) -> str:
        """What it has logged since it was last started, the last 64 KiB of it."""
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - 65_536))
            return log.read().decode(errors="replace")

    def request_stop(self) -> None:
        if self.exit_code is None:
            self._popen.send_signal(self._stop_signal)

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """End it and everything in its group, by force if it takes too long."""
        self.request_stop()
        self.wait_for_end(seconds=seconds)

    def wait_for_end(self, *, seconds: float = STOP_SECONDS) -> None:
        """Wait for a process that was asked to stop; kill it if it takes too long."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

        self._sweep()

    def kill(self) -> None:
        """End it and everything in its group now."""
        if self.exit_code is None:
            _signal_group(self.pid, signal.SIGKILL)
            self._popen.wait()
            self._sweep()

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._environment,
            user=self._owner.pw_uid if self._owner else None,
            group=self._owner.pw_gid if self._owner else None,
            extra_groups=[] if self._owner else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _sweep(self) -> None:
        # Once, and at once: later the number may be somebody else's.
        if not self._ended:
            self._ended = True
            _signal_group(self.pid, signal.SIGKILL)
            self._guardian.forget(self.pid)

    @property
    def _popen(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started.")

        return self._process


class Site:
    """A temporary directory and the processes that live in it.

    Leaving it stops them and removes the directory. With `account` the directory
    belongs to that user and the processes run as that user.
    """

    directory: Path

    def __init__(self, *, account: str | None = None) -> None:
        self._account = account
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="partstream-", dir=_roomy()))
        self._guardian = Guardian(self.directory)

        if self._account is not None:
            owner = pwd.getpwnam(self._account)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)

        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # All are asked, once, before any is waited for: many servers take a second
        # signal for impatience.
        for process in reversed(self._processes):
            process.request_stop()

        for process in reversed(self._processes):
            process.wait_for_end()

        shutil.rmtree(self.directory)
        self._guardian.close()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Process:
        """Start a command; its output goes to `<name>.log` in the directory."""
        process = Process(
            name,
            command,
            guardian=self._guardian,
            log=self.directory / f"{name}.log",
            cwd=cwd or self.directory,
            environment=environment,
            account=self._account,
            stop_signal=stop_signal,
        )
        process.start()
        self._processes.append(process)
        return process


def first_account(*names: str) -> str | None:
    """The user to run a server as: the first that exists, None if we are not root."""
    if os.getuid() != 0:
        return None

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in names if name in known), None)


@contextlib.contextmanager
def foreground() -> Iterator[None]:
    """Take the terminal, so that Ctrl-C interrupts us and not the `make` above us.

    Interrupted as well, `make` would report our clean end as an error. Without a
    terminal, in the background, or as leader of our group this does nothing.
    """
    ours = (
        sys.stdin is not None
        and sys.stdin.isatty()
        and os.getpgrp() != os.getpid()
        and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    )

    if not ours:
        yield
        return

    terminal, group = sys.stdin.fileno(), os.getpgrp()
    # The shell would not learn that we alone were stopped by Ctrl-Z.
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # From the background, where we are for a moment, tcsetpgrp() would stop us.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())

    try:
        yield
    finally:
        # The terminal may be gone, which can be why we end.
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, group)


def guard(directory: Path) -> None:
    """Remember the processes that standard input names; end them when it ends."""
    watched: dict[int, int] = {}

    for line in sys.stdin:
        pid, stop_signal = map(int, line.split())
        watched.pop(pid, None)

        if stop_signal:
            watched[pid] = stop_signal

    for pid, stop_signal in reversed(watched.items()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, stop_signal)

    deadline = time.monotonic() + STOP_SECONDS / 2

    while any(map(_group_lives, watched)) and time.monotonic() < deadline:
        time.sleep(0.05)

    for pid in watched:
        _signal_group(pid, signal.SIGKILL)

    shutil.rmtree(directory, ignore_errors=True)


def _roomy() -> str:
    """A directory for ours: short, since the path of a socket must be, and open
    to whichever user the server runs as.
    """
    usual = tempfile.gettempdir()
    above = [Path(usual).resolve(), *Path(usual).resolve().parents]
    open_to_all = os.getuid() != 0 or all(path.stat().st_mode & 0o001 for path in above)
    return usual if len(usual) <= 60 and open_to_all else "/tmp"


def _signal_group(pid: int, signal_number: int) -> None:
    # macOS says PermissionError of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal_number)


def _group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False

    return True


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
