"""A database, jobs on it, and processes that work on them and are ended."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import connections, transaction

from django_partstream.jobs import states
from django_partstream.models import Job, JobBatch, State
from tests.chaos.work import KIND, SLOTS
from tests.forms import count

ROOT = Path(__file__).resolve().parent.parent.parent
ALIAS = "chaos"

#: Short, so that a rescue takes a second and not half a minute.
PARTSTREAM = {"QUEUE": "database", "LEASE_SECONDS": 1.0, "SWEEP_SECONDS": 0.3}
#: Where nobody may be taken for dead: a busy machine lets a process wait for seconds.
LONG_LEASE = {"LEASE_SECONDS": 60.0}
#: What happened in this run.
NOTES: list[str] = []
#: The lease, the look at the table, and what a machine adds that does six other things.
RESCUE_SECONDS = 1.0 + 1.0 + 18.0
#: After so long without an end, there is none.
WAIT_SECONDS = count(100, 900)


class Zygote:
    """Where processes are forked, for one database."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CHAOS_PARTSTREAM": json.dumps(PARTSTREAM),
            **environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self.log = directory / "log"
        self.history = directory / "history"
        self.history.touch()

    def ask(self, do: str, **order: Any) -> int:
        order |= {"do": do, "log": str(self.log), "history": str(self.history)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None

        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()

        assert answer, "the zygote has ended"

        return int(answer)

    def close(self) -> None:
        self._process.communicate()


class Victim:
    """A process of the zygote's."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self.pid = pid
        self._zygote = zygote

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code when it has ended; -9 of one that was killed."""
        return os.waitstatus_to_exitcode(self._zygote.ask("wait", pid=self.pid))

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def listens(self) -> bool:
        """Whether it would hear SIGTERM."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        caught = next(line for line in status.splitlines() if "SigCgt" in line)

        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def stopped(self) -> bool:
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")

        return stat.rpartition(")")[2].split()[0] == "T"


class Arena:
    """What a test of chaos has to hand: jobs, processes, and what must hold after."""

    def __init__(self, kind: str, zygote: Zygote, seed: int) -> None:
        self.kind = kind
        self.random = random.Random(seed)
        self.zygote = zygote
        self.alive: list[Victim] = []
        self._hurry = zygote.log.parent / f"hurry-{uuid4().hex}"
        self._since = len(self.zygote.history.read_bytes())

    def start(self, do: str, **order: Any) -> Victim:
        victim = Victim(self.zygote, self.zygote.ask(do, **order))
        self.alive.append(victim)

        return victim

    def worker(self, **order: Any) -> Victim:
        return self.start("work", **order)

    def end(self, victim: Victim) -> int:
        """Wait for its end; its exit code."""
        self.alive.remove(victim)

        return victim.wait()

    def kill(self, victim: Victim) -> None:
        self.alive.remove(victim)
        victim.kill()

    def kill_at_work(self, workers: list[Victim]) -> None:
        """Kill one of the workers while it has a job in its hands, which it cannot have
        given back: somebody will have to take it over."""
        found: list[Victim] = []

        def look() -> bool:
            for worker in workers:
                worker.send(signal.SIGSTOP)
                self.until(worker.stopped)

                if self.has_a_job(worker):
                    found.append(worker)
                    return True

                worker.send(signal.SIGCONT)

            return False

        self.until(look)
        workers.remove(found[0])
        self.kill(found[0])

    def has_a_job(self, worker: Victim) -> bool:
        held = states.jobs().filter(
            state__in=states.UNFINISHED, lease_until__isnull=False
        )

        return any(job.worker.split(":")[1] == str(worker.pid) for job in held)

    def stop(self, victims: Iterable[Victim]) -> None:
        """Tell them to end, and see that they end well."""
        victims = list(victims)

        for victim in victims:
            self.until(victim.listens)
            victim.send(signal.SIGTERM)

        for victim in victims:
            assert self.end(victim) == 0, self.logged()

    def close(self) -> None:
        for victim in list(self.alive):
            self.kill(victim)

    def make_job(
        self, total: int = 35, *, crawls_at: int | None = None, **spec: Any
    ) -> Job:
        """A job; one that `crawls_at` a row does so until `hurry()`."""
        if crawls_at is not None:
            spec |= {"crawls_at": crawls_at, "hurry": str(self._hurry)}

        # A worker may take it as soon as it is there.
        with transaction.atomic(using=ALIAS):
            job = states.jobs().create(kind=KIND, total=total, spec=spec)
            self.set_counters(job)

        return job

    def hurry(self) -> None:
        """Jobs that crawl may come to their end."""
        self._hurry.touch()

    def set_counters(self, job: Job) -> None:
        with connections[ALIAS].cursor() as cursor:
            cursor.executemany(
                "INSERT INTO chaos_counter VALUES (%s, %s, 0)",
                [(str(job.pk), slot) for slot in range(SLOTS)],
            )

    def fresh(self, job: Job) -> Job:
        return states.jobs().get(pk=job.pk)

    def wait(self, *jobs: Job, seconds: float = WAIT_SECONDS) -> None:
        """Until all have ended."""
        unfinished = states.jobs().filter(pk__in=[job.pk for job in jobs])
        unfinished = unfinished.filter(state__in=states.UNFINISHED)
        deadline = time.monotonic() + seconds

        while unfinished.exists():
            assert time.monotonic() < deadline, (
                list(unfinished.values()),
                self.logged(),
            )
            time.sleep(0.02)

    def until(self, holds: Any, seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds

        while not holds():
            assert time.monotonic() < deadline, self.logged()
            time.sleep(0.005)

    def logged(self) -> str:
        return self.zygote.log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def history(self) -> list[dict[str, Any]]:
        """What all processes said of jobs since this test began, in order."""
        said = self.zygote.history.read_bytes()[self._since :].splitlines()

        return sorted(map(json.loads, said), key=lambda event: event["at"])

    def takeovers(self, *jobs: Job) -> int:
        wanted = {str(job.pk) for job in jobs}

        return sum(
            event["takeover"]
            for event in self.history()
            if not wanted or event["job"] in wanted
        )

    def rescues(self) -> list[float]:
        """For each takeover, how long ago the lease was set that had run out."""
        last: dict[str, float] = {}
        found: list[float] = []

        for event in self.history():
            if event["takeover"] and event["job"] in last:
                found.append(event["at"] - last[event["job"]])

            last[event["job"]] = event["leased"]

        return found

    def note(self, what: str, jobs: list[Job]) -> None:
        """For the last lines of the run."""
        NOTES.append(
            f"{self.kind}: {what}; {len(jobs)} jobs, {self.takeovers()} takeovers, "
            f"longest standstill {max(self.rescues(), default=0.0):.2f} s"
        )

    def verify(self, *jobs: Job) -> None:
        """Each was done as one run without faults does it."""
        for job in jobs:
            fresh = self.fresh(job)
            assert fresh.state == State.SUCCESS, (fresh.message, self.logged())
            assert self.effects(job) == clean_effects(job.total)
            assert self.hits(job) == clean_hits(job.total)
            self.verify_ledger(fresh)
            assert fresh.created == len(self.effects(job))

    def effects(self, job: Job) -> list[int]:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT number FROM chaos_effect WHERE job = %s ORDER BY number",
                [str(job.pk)],
            )

            return [number for (number,) in cursor.fetchall()]

    def hits(self, job: Job) -> dict[int, int]:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT slot, hits FROM chaos_counter WHERE job = %s", [str(job.pk)]
            )

            return dict(cursor.fetchall())

    def verify_ledger(self, job: Job) -> None:
        ledger = list(JobBatch.objects.using(ALIAS).filter(job=job).order_by("number"))
        assert [batch.number for batch in ledger] == list(range(1, len(ledger) + 1))
        epochs = [batch.epoch for batch in ledger]
        assert epochs == sorted(epochs)
        assert not epochs or epochs[-1] <= job.epoch
        row = 0

        for batch in ledger:
            assert batch.first_row == row + 1
            row = batch.last_row

        assert row == job.current
        assert job.batches == len(ledger)
        assert sum(batch.created for batch in ledger) == job.created
        assert sum(batch.failed for batch in ledger) == job.failed


def clean_effects(total: int) -> list[int]:
    return [number for number in range(1, total + 1) if number % 7]


def clean_hits(total: int) -> dict[int, int]:
    counted = Counter(number % SLOTS for number in clean_effects(total))

    return {slot: counted[slot] for slot in range(SLOTS)}


WATCHED = """
SELECT job.seq, job.epoch, job.current, job.created,
       (SELECT count(*) FROM chaos_effect WHERE job = %s),
       (SELECT coalesce(max(last_row), 0) FROM partstream_jobbatch WHERE job_id = %s)
FROM partstream_job AS job WHERE job.id = %s
"""


@contextlib.contextmanager
def watching(jobs: list[Job]) -> Iterator[Counter[str]]:
    """Look at the jobs all the time, each look in one statement: `seq` and the epoch
    never fall, and the counters are those of the committed rows at every moment."""
    over = threading.Event()
    wrong: list[Any] = []
    looks: Counter[str] = Counter()

    def look() -> None:
        seen: dict[Any, tuple[int, int]] = {}

        while not over.is_set():
            for job in list(jobs):
                try:
                    row = _look(job)
                except Exception:
                    # The database is away; so is every job.
                    looks["away"] += 1
                    connections[ALIAS].close()
                    continue

                seq, epoch, current, created, effects, last_row = row
                looks["looks"] += 1

                if (seq, epoch) < seen.get(job.pk, (0, 0)):
                    wrong.append(("fell", seen[job.pk], row))

                if (created, current) != (effects, last_row):
                    wrong.append(("counters are not the rows", row))

                seen[job.pk] = (seq, epoch)

            over.wait(0.01)

        connections[ALIAS].close()

    watcher = threading.Thread(target=look)
    watcher.start()

    try:
        yield looks
    finally:
        over.set()
        watcher.join()

    assert wrong == []
    assert looks["looks"] > 0


def _look(job: Job) -> Any:
    connection = connections[ALIAS]
    key = Job._meta.pk.get_db_prep_value(job.pk, connection)

    with connection.cursor() as cursor:
        cursor.execute(WATCHED, [str(job.pk), key, key])

        return cursor.fetchone()
