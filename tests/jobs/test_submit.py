"""A job is written with its request, or not at all."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_partstream.jobs import queue, submit
from django_partstream.jobs.submit import PIECE_BYTES, InputReader
from django_partstream.models import Job, JobInput
from tests.jobs.work import KIND

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


class FakeQueue:
    """Keeps what it is given, or is down."""

    def __init__(self, *, down: bool = False) -> None:
        self.published: list[tuple[UUID, str]] = []
        self._down = down

    async def publish(self, job_id: UUID, message_id: str) -> None:
        if self._down:
            raise ConnectionRefusedError("no queue")

        self.published.append((job_id, message_id))


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeQueue) -> FakeQueue:
    monkeypatch.setattr(submit, "get_queue", lambda: fake)

    return fake


def new(data: bytes = b"", **options: Any) -> Job:
    return submit.submit(
        kind=KIND,
        owner=None,
        spec={"a": 1},
        total=3,
        stream=io.BytesIO(data),
        **options,
    )


def test_it_is_handed_out_when_its_transaction_commits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = use(monkeypatch, FakeQueue())

    with transaction.atomic():
        job = new(b"")
        assert fake.published == []

    assert fake.published == [(job.pk, f"{job.pk}:0:1")]


def test_a_rolled_back_request_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch, FakeQueue())

    with transaction.atomic():
        new(b"some input")
        transaction.set_rollback(True)

    assert not Job.objects.exists()
    assert not JobInput.objects.exists()
    assert fake.published == []


def test_with_the_queue_down_the_job_is_safe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, FakeQueue(down=True))

    job = new(b"x")

    assert Job.objects.filter(pk=job.pk).exists()
    assert f"job {job.pk}: not handed out yet" in caplog.text


def test_the_input_is_kept_in_pieces_with_its_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, FakeQueue())
    data = b"0123456789" * (PIECE_BYTES // 4)

    job = new(data)

    assert JobInput.objects.filter(job=job).count() == 3
    assert job.input_bytes == len(data)
    assert InputReader(job.pk, 0, using="default").read() == data


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(offset=st.integers(0, 2 * PIECE_BYTES + 200), size=st.integers(1, 3000))
def test_it_is_read_from_any_byte_on(
    offset: int, size: int, three_pieces: tuple[Job, bytes]
) -> None:
    job, data = three_pieces

    reader = io.BufferedReader(InputReader(job.pk, offset, using="default"))

    assert reader.read(size) == data[offset : offset + size]


@pytest.fixture
def three_pieces(monkeypatch: pytest.MonkeyPatch) -> tuple[Job, bytes]:
    use(monkeypatch, FakeQueue())
    data = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"the end"

    return new(data), data


def test_the_queue_is_chosen_by_setting(settings: Any) -> None:
    settings.PARTSTREAM = {"QUEUE": "database"}
    assert type(queue.get_queue()).__name__ == "DatabaseQueue"

    settings.PARTSTREAM = {"REDIS_URL": "redis://localhost:1/0"}
    assert type(queue.get_queue()).__name__ == "ArqQueue"

    settings.PARTSTREAM = {}
    assert type(queue.get_queue()).__name__ == "EmbeddedQueue"
