"""A job comes into being: its row and its input, in the caller's transaction."""

from __future__ import annotations

import hashlib
import io
import logging
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from asgiref.sync import async_to_sync
from django.db import reset_queries, transaction

from django_partstream.models import Job, JobInput

from . import observer, states
from .crash_points import Point, reached
from .queue import get_queue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ("PIECE_BYTES", "InputReader", "submit")

logger = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024


def submit(
    *,
    kind: str,
    owner: Any,
    spec: Mapping[str, Any],
    total: int,
    stream: BinaryIO | None = None,
) -> Job:
    """Write a job with its input, and hand it to the queue when that is committed.

    `owner` is a saved user or None; `spec` is JSON for the work; `total` is in rows.
    The input is copied in pieces. What is rolled back leaves nothing. When the queue
    cannot be reached the job still exists, and a sweeper hands it out later.
    """
    using = states.jobs().db

    with transaction.atomic(using=using):
        job = Job(kind=kind, owner=owner, spec=dict(spec), total=total)
        job.save(using=using, force_insert=True)
        reached(Point.ROW_WRITTEN)

        if stream is not None:
            _store(job, stream, using)
            reached(Point.INPUT_WRITTEN)

        transaction.on_commit(lambda: _hand_out_new(job.pk), using=using)

    return job


def _store(job: Job, stream: BinaryIO, using: str) -> None:
    digest = hashlib.sha256()
    start = 0

    while piece := stream.read(PIECE_BYTES):
        # With DEBUG on, Django would keep every piece as SQL text.
        reset_queries()
        digest.update(piece)
        JobInput.objects.using(using).create(
            job=job, start=start, size=len(piece), data=zlib.compress(piece, 1)
        )
        start += len(piece)

    job.input_bytes = start
    job.input_sha256 = digest.hexdigest()
    job.save(using=using, update_fields=["input_bytes", "input_sha256"])


def _hand_out_new(job_id: UUID) -> None:
    reached(Point.SUBMITTED)

    # Only a shortcut past the sweeper: a queue that is down must not fail a request
    # whose job is safe in the database.
    try:
        message_id = states.dispatch(job_id, 0)

        if message_id is not None:
            reached(Point.BEFORE_PUBLISH)
            async_to_sync(get_queue().publish)(job_id, message_id)
            reached(Point.AFTER_PUBLISH)
    except Exception:
        logger.warning(
            "job %s: not handed out yet",
            job_id,
            exc_info=True,
            extra={"job_id": str(job_id)},
        )
        observer.notify(observer.JobEvent(kind="unpublished", job_id=job_id))


class InputReader(io.RawIOBase):
    """A job's input from some byte on, a piece at a time."""

    def __init__(self, job_id: UUID, offset: int, *, using: str) -> None:
        self._pieces = JobInput.objects.using(using).filter(job_id=job_id)
        self._at = offset
        self._piece = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = self._fetch()

        taken = self._piece[: len(buffer)]
        buffer[: len(taken)] = taken
        self._piece = self._piece[len(taken) :]
        self._at += len(taken)

        return len(taken)

    def _fetch(self) -> bytes:
        piece = self._pieces.filter(start__lte=self._at).order_by("-start").first()

        if piece is None or self._at >= piece.start + piece.size:
            return b""

        return zlib.decompress(piece.data)[self._at - piece.start :]
