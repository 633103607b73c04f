"""`django_partstream.testing`, and what `docs/testing.md` says of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.contrib.auth.models import Group
from django.db import connection
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import include, path

from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point
from django_partstream.models import State
from django_partstream.testing import (
    CrashedError,
    LossyChannelLayer,
    acollect_frames,
    arun_jobs,
    collect_frames,
    crash_at,
    run_jobs,
)
from tests import documents
from tests.guide.urls import urlpatterns as guide
from tests.jobs.work import expected, make_job, written

DOCUMENT = documents.run_python("docs/testing.md")

#: What a reader of the document has.
urlpatterns = [*guide, path("", include("tests.urls"))]

IN_A_BATCH = (
    *(Point.BEFORE_LOCK, Point.AFTER_LOCK, Point.AFTER_STEP, Point.AFTER_RECORD),
    *(Point.AFTER_ADVANCE, Point.AFTER_COMMIT),
)

with_addresses = override_settings(ROOT_URLCONF=__name__)


@with_addresses
class TestLoading(DOCUMENT.LoadingTest):  # type: ignore[misc, name-defined]
    """As the document has it."""


@with_addresses
class TestDashboard(DOCUMENT.DashboardTest):  # type: ignore[misc, name-defined]
    """As the document has it."""


@with_addresses
class TestSocket(DOCUMENT.SocketTest):  # type: ignore[misc, name-defined]
    """As the document has it."""


@with_addresses
class TestCrash(DOCUMENT.CrashTest):  # type: ignore[misc, name-defined]
    """As the document has it."""


def test_the_document_names_every_point() -> None:
    text = (documents.ROOT / "docs/testing.md").read_text(encoding="utf-8")
    pairs = {"release", "fail", "cancel"}

    for point in Point:
        assert f"`{point}`" in text or point.rpartition("-")[2] in pairs


def test_it_is_imported_without_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import django; django.setup();"
        "from django_partstream.testing import run_jobs"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=documents.ROOT)


@pytest.mark.database
@pytest.mark.django_db
def test_jobs_are_run_inside_the_transaction_of_a_test() -> None:
    jobs = [make_job(35), make_job(5)]

    ran = run_jobs()

    assert ran == jobs
    assert [job.state for job in ran] == [State.SUCCESS, State.SUCCESS]
    assert written(jobs[0]) == expected(35)
    assert connection.in_atomic_block
    assert run_jobs() == []


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL has them")
def test_the_transaction_of_a_test_gets_no_time_limits_of_a_batch() -> None:
    make_job(5)
    run_jobs()

    with connection.cursor() as cursor:
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("0",)


@pytest.mark.django_db(transaction=True)
def test_jobs_are_run_outside_a_transaction_too() -> None:
    job = make_job(35)

    assert run_jobs() == [job]
    assert written(job) == expected(35)


class CoroutineTest(TestCase):
    """Whose coroutines share a thread with the ORM."""

    async def test_jobs_are_run_in_a_coroutine(self) -> None:
        await Group.objects.acreate(name="here")
        job = await states.jobs().acreate(kind="test_groups", total=5)

        (ran,) = await arun_jobs()

        assert (ran, ran.created) == (job, 5)
        assert await Group.objects.acount() == 6


@pytest.mark.django_db
def test_jobs_that_take_too_long_are_told() -> None:
    job = make_job(35)

    with pytest.raises(TimeoutError) as caught:
        run_jobs(seconds=1e-9)

    assert str(caught.value) == (
        f"Jobs are still due after 1e-09 s, among them {job.pk}. Give run_jobs() more "
        "seconds, or the jobs fewer rows."
    )


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.parametrize("point", [Point.AFTER_CLAIM, *IN_A_BATCH])
def test_a_crash_anywhere_in_a_batch_costs_nothing(point: Point) -> None:
    job = make_job(35)

    with pytest.raises(CrashedError, match=point), crash_at(point):
        run_jobs()

    assert run_jobs() == []
    assert run_jobs(rescue=True) == [job]
    assert written(job) == expected(35)


def test_a_crash_at_no_moment_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="'after-lunch' is not a valid Point"),
        crash_at("after-lunch"),
    ):
        pass


@with_addresses
@pytest.mark.parametrize("transport", ["ndjson", "sse", "pages"])
@pytest.mark.django_db
def test_frames_of_every_transport(transport: Any) -> None:
    frames = collect_frames(Client(), "/failing/", transport=transport)

    assert frames[0]["type"] == "start"
    assert sorted(frames[0]["parts"]) == sorted(frame["name"] for frame in frames[1:-1])
    errors = {f["name"]: f["error"]["status"] for f in frames if f["type"] == "error"}
    assert errors
    assert set(errors.values()) <= {404, 403, 500, 504}
    assert (frames[-1]["type"], frames[-1]["failed"]) == ("end", len(errors))


@with_addresses
@pytest.mark.parametrize("transport", ["ndjson", "sse", "pages", "websocket"])
@pytest.mark.django_db(transaction=True)
def test_the_same_frames_in_a_coroutine(transport: Any) -> None:
    found = async_to_sync(acollect_frames)(
        AsyncClient(), "/failing/", transport=transport
    )

    wanted = collect_frames(Client(), "/failing/")

    assert {(f["type"], f.get("name")) for f in found} == {
        (f["type"], f.get("name")) for f in wanted
    }


@with_addresses
@pytest.mark.django_db
def test_a_refusal_is_told() -> None:
    with pytest.raises(AssertionError, match=r"^40\d "):
        collect_frames(Client(), "/private/")


@with_addresses
@pytest.mark.django_db(transaction=True)
def test_a_refusal_at_the_socket_is_told() -> None:
    with pytest.raises(AssertionError, match="/private/ was refused"):
        async_to_sync(acollect_frames)(
            AsyncClient(), "/private/", transport="websocket"
        )


async def test_a_lossy_layer_does_the_same_with_the_same_seed(settings: Any) -> None:
    settings.CHANNEL_LAYERS = DOCUMENT.CHANNEL_LAYERS
    layer = channel_layers["default"]
    assert isinstance(layer, LossyChannelLayer)

    heard = [await heard_of(layer) for layer in (layer, LossyChannelLayer(**config()))]

    assert heard[0] == heard[1]
    assert len(set(heard[0])) < 50
    assert len(heard[0]) > len(set(heard[0]))
    assert heard[0] != sorted(heard[0])
    assert layer.counts["sent"] == 50
    assert min(layer.counts.values()) > 0


def config() -> dict[str, Any]:
    given: dict[str, Any] = DOCUMENT.CHANNEL_LAYERS["default"]["CONFIG"]

    return given


async def heard_of(layer: LossyChannelLayer) -> list[int]:
    """What a member of a group hears of fifty messages."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)

    for number in range(50):
        await layer.group_send("g", {"type": "n", "number": number})

    queue = layer.channels[channel]

    return [(await layer.receive(channel))["number"] for _ in range(queue.qsize())]


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"drop=0\.9, double=0\.2, reorder=0: expected"
    ):
        LossyChannelLayer(drop=0.9, double=0.2, reorder=0)


def test_a_lossy_layer_has_another_layer_beneath() -> None:
    layer = LossyChannelLayer(
        layer={
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            "CONFIG": {"capacity": 3},
        }
    )

    assert layer._layer.capacity == 3
