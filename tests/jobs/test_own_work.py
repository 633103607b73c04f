"""`docs/own-work.md`: its work runs, exactly once, whatever happens around it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_partstream import register_work, submit_work
from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point, hooked
from django_partstream.jobs.execute import Pace
from django_partstream.models import Job, State
from tests import documents
from tests.app.models import Product
from tests.jobs.conftest import Run

DOCUMENT = "docs/own-work.md"

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def module() -> Any:
    return documents.run_python(DOCUMENT, Product=Product)


@pytest.fixture
def products() -> None:
    Product.objects.bulk_create(
        Product(code=f"P{n}", serial=n, price=100 + n) for n in range(1, 1301)
    )


class Killed(BaseException):
    """The process is no more."""


def finish(run: Run, job: Job, **options: Any) -> int:
    """Let workers die of it until it has ended; how many took it over."""
    for count in range(1000):
        past = timezone.now() - datetime.timedelta(seconds=1)
        states.jobs().filter(pk=job.pk, lease_until__isnull=False).update(
            lease_until=past
        )

        try:
            run(job, **options)
        except Killed:
            continue

        if State(states.jobs().get(pk=job.pk).state).terminal:
            return count

    raise AssertionError("it does not end")


def test_prices_rise_once_though_workers_die_at_every_point(
    module: Any, products: None, run: Run
) -> None:
    owner = get_user_model().objects.create_user("ann")
    job = states.jobs().get(pk=module.reprice(owner, 10))
    left = [
        Point.AFTER_CLAIM,
        Point.BEFORE_LOCK,
        Point.AFTER_LOCK,
        Point.AFTER_STEP,
        Point.AFTER_COMMIT,
        Point.AFTER_RECORD,
        Point.AFTER_ADVANCE,
    ]

    def kill(reached: Point) -> None:
        if left and reached is left[0]:
            left.pop(0)
            raise Killed

    with hooked(kill):
        takeovers = finish(run, job, pace=Pace(commit=0.0))

    assert takeovers == 7
    job.refresh_from_db()
    assert (job.state, job.current, job.updated) == (State.SUCCESS, 1300, 1300)
    assert list(Product.objects.order_by("serial").values_list("price", flat=True)) == [
        round((100 + n) * 11 / 10) for n in range(1, 1301)
    ]


def test_what_is_inserted_once_stays_so_and_bad_rows_are_passed_over(
    module: Any, run: Run, client: Client
) -> None:
    codes = [str(n) for n in range(1, 60)]
    codes[30] = "not a number"
    job = submit_work("import", spec={"codes": codes}, total=len(codes))

    run(job)

    job.refresh_from_db()
    assert (job.state, job.created, job.failed) == (State.SUCCESS, 58, 1)
    assert Product.objects.count() == 58
    response: Any = client.get(f"/api/operations/{job.pk}/results/")
    assert b'"data":{"code":"not a number"}' in b"".join(response.streaming_content)


def test_a_rollback_leaves_no_job(module: Any) -> None:
    with transaction.atomic():
        submit_work("reprice", spec={"percent": 10})
        transaction.set_rollback(True)

    assert not states.jobs().exists()


def test_too_many_failures_stop_it(module: Any, run: Run) -> None:
    job = submit_work("import", spec={"codes": ["x", "y", "1"]}, total=3, max_errors=1)

    run(job)

    job.refresh_from_db()
    assert (job.state, job.current, job.failed) == (State.FAILURE, 2, 2)
    assert job.message.startswith("The job was stopped after 2 rows: 2 rows have")


def test_work_that_nobody_knows_cannot_be_submitted() -> None:
    with pytest.raises(ValueError, match="No work of kind 'nobody_knows' is regist"):
        submit_work("nobody_knows")


@pytest.mark.parametrize("kind", ["", "async_create", "x" * 101])
def test_kinds_have_names_of_their_own(kind: str) -> None:
    with pytest.raises(ValueError, match="expected a name of at most 100 characters"):
        register_work(kind)
