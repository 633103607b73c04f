"""Work for the tests, whose effect shows when it is done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import Group

from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point, reached
from django_partstream.jobs.work import Budget, Step, Tally, register
from django_partstream.models import Job

KIND = "test_groups"


class GroupWork:
    """Creates one group a row; its name is unique, so a row done twice raises."""

    #: Called with the number of each row before it is written.
    before: ClassVar[Callable[[int], None]] = staticmethod(lambda number: None)
    rows_per_step: ClassVar[int] = 10

    def __init__(self, job: Job) -> None:
        self.using = states.jobs().db
        self._job = job

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        first = int(cursor.get("row", 0)) + 1
        last = min(first + self.rows_per_step - 1, self._job.total)
        failures: list[dict[str, Any]] = []
        created: list[int] = []

        for number in range(first, last + 1):
            if number > first:
                reached(Point.WITHIN_STEP)

            type(self).before(number)

            if number % 7 == 0:
                failures.append({"row": number, "data": {"n": number}, "error": "7"})
                continue

            group = Group.objects.using(self.using).create(
                name=f"{self._job.pk}-{number}"
            )
            created.append(group.pk)

        return Step(
            cursor={"row": last},
            done=last >= self._job.total,
            tally=Tally(created=len(created), failed=len(failures)),
            created_ids=tuple(created),
            failures=tuple(failures),
        )


register(KIND, GroupWork)


def make_job(total: int = 35, **fields: Any) -> Job:
    return states.jobs().create(kind=KIND, total=total, **fields)


def written(job: Job) -> list[int]:
    """The numbers of the rows that have taken effect."""
    names = Group.objects.using(states.jobs().db).filter(name__startswith=f"{job.pk}-")

    return sorted(int(group.name.rpartition("-")[2]) for group in names)


def expected(total: int) -> list[int]:
    return [number for number in range(1, total + 1) if number % 7]
