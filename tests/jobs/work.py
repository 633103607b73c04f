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
STUBBORN = "test_groups_stubborn"


class GroupWork:
    """Creates one group a row; its name is unique, so a row done twice raises."""

    #: Called with the number of each row before it is written.
    before: ClassVar[Callable[[int], None]] = staticmethod(lambda number: None)
    rows_per_step: ClassVar[int] = 10

    def __init__(self, job: Job) -> None:
        self.using = states.jobs().db
        self._job = job
        #: A retry has fewer rows than its first job, under the numbers of then.
        self._last = job.spec.get("last_row", job.total)

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        first = int(cursor.get("row", 0)) + 1
        last = min(first + self.rows_per_step - 1, self._last)

        if budget.rows is not None:
            last = min(last, first + budget.rows - 1)

        failures: list[dict[str, Any]] = []
        created: list[int] = []

        for number in range(first, last + 1):
            if number > first:
                reached(Point.WITHIN_STEP)

            type(self).before(number)

            if number % 7 == 0:
                failures.append(failure(number, "seven", "7"))

                if budget.failures is not None and len(failures) > budget.failures:
                    last = number
                    break

                continue

            group = Group.objects.using(self.using).create(
                name=f"{self._job.pk}-{number}"
            )
            created.append(group.pk)

        return Step(
            cursor={"row": last},
            done=last >= self._last,
            tally=Tally(created=len(created), failed=len(failures)),
            created_ids=tuple(created),
            failures=tuple(failures),
        )

    def skip(self, cursor: Mapping[str, Any], code: str, detail: str) -> Step:
        number = int(cursor.get("row", 0)) + 1

        return Step(
            cursor={"row": number},
            done=False,
            tally=Tally(failed=1),
            failures=(failure(number, code, detail),),
        )


def failure(number: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "row": number,
        "line": None,
        "data": {"n": number},
        "error": detail,
        "errors": [{"pointer": "", "code": code, "detail": detail}],
    }


class StubbornWork:
    """The same, by work that cannot leave a row out."""

    def __init__(self, job: Job) -> None:
        self._work = GroupWork(job)
        self.using = self._work.using

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        return self._work.step(cursor, budget)


register(KIND, GroupWork)
register(STUBBORN, StubbornWork)


def make_job(total: int = 35, **fields: Any) -> Job:
    return states.jobs().create(**{"kind": KIND, "total": total, **fields})


def written(job: Job) -> list[int]:
    """The numbers of the rows that have taken effect."""
    names = Group.objects.using(states.jobs().db).filter(name__startswith=f"{job.pk}-")

    return sorted(int(group.name.rpartition("-")[2]) for group in names)


def expected(total: int) -> list[int]:
    return [number for number in range(1, total + 1) if number % 7]
