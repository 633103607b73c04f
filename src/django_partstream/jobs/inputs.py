"""The input of a job: kept in the database with it, or in a storage of Django's."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from django.core.files import File
from django.core.files.storage import storages
from django.db import reset_queries
from django.db.models import Sum

from django_partstream import conf
from django_partstream.errors import StorageUnavailableError
from django_partstream.models import JobInput

from . import states
from .work import WorkRefusedError

if TYPE_CHECKING:
    from uuid import UUID

    from django.core.files.storage import Storage

    from django_partstream.models import Job

__all__ = (
    "FOLDER",
    "PIECE_BYTES",
    "Input",
    "InputReader",
    "discard",
    "keep",
    "keep_here",
    "of",
)

PIECE_BYTES = 1024 * 1024

#: In a storage, the inputs of all jobs, each under its job's id.
FOLDER = "partstream-inputs"


class Input(Protocol):
    """A job's input, for the length of a slice."""

    def open(self, offset: int) -> BinaryIO:
        """The bytes from `offset` on; one reader at a time."""
        ...


def keep(job: Job, stream: BinaryIO) -> None:
    """Copy the stream, piece by piece, to where inputs are kept; the job's row, which
    exists, says where. For a storage the stream must be seekable.

    Raises StorageUnavailableError where a storage has no room, or is away.
    """
    alias = conf.current().input_storage

    if alias is None:
        keep_here(job, stream)
        return

    start = stream.tell()
    job.input_bytes, job.input_sha256 = _measure(stream)
    stream.seek(start)
    job.input_storage = alias
    job.input_name = _stored(storages[alias], f"{FOLDER}/{job.pk}", stream)
    _save(job)


def _stored(storage: Storage, name: str, stream: BinaryIO) -> str:
    try:
        return storage.save(name, File(stream))
    except OSError as error:
        # The half that is there would take up the room that is missing.
        with contextlib.suppress(OSError):
            storage.delete(name)

        raise StorageUnavailableError from error


def keep_here(job: Job, stream: BinaryIO) -> None:
    """Copy the stream to the database, wherever other inputs are kept."""
    digest = hashlib.sha256()
    start = 0

    while piece := stream.read(PIECE_BYTES):
        # With DEBUG on, Django would keep every piece as SQL text.
        reset_queries()
        digest.update(piece)
        JobInput.objects.using(states.jobs().db).create(
            job=job,
            start=start,
            size=len(piece),
            sha256=hashlib.sha256(piece).hexdigest(),
            data=zlib.compress(piece, 1),
        )
        start += len(piece)

    job.input_bytes = start
    job.input_sha256 = digest.hexdigest()
    _save(job)


def _save(job: Job) -> None:
    job.save(
        using=states.jobs().db,
        update_fields=["input_bytes", "input_sha256", "input_storage", "input_name"],
    )


def _measure(stream: Any) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0

    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)

    return size, digest.hexdigest()


def of(job: Job) -> Input:
    """The input of this job.

    Raises WorkRefusedError where it is gone or not what was sent. One in the database
    does so when what was changed is read: it comes in pieces, each with its digest.
    """
    if not job.input_name:
        return _InDatabase(job)

    return _InStorage(job)


def discard(job: Job) -> None:
    """Delete the input that the job has in a storage, if it has one."""
    if job.input_name:
        storages[job.input_storage].delete(job.input_name)


class _InDatabase:
    def __init__(self, job: Job) -> None:
        self._job_id = job.pk
        pieces = JobInput.objects.using(states.jobs().db).filter(job_id=job.pk)
        have = pieces.aggregate(size=Sum("size"))["size"] or 0

        if have != (job.input_bytes or 0):
            raise _damaged("is no longer whole")

    def open(self, offset: int) -> BinaryIO:
        reader = InputReader(self._job_id, offset, using=states.jobs().db)

        return cast("BinaryIO", reader)


class _InStorage:
    """Opened once: a remote storage fetches the whole file for that."""

    def __init__(self, job: Job) -> None:
        storage: Storage = storages[job.input_storage]

        try:
            self._file: Any = storage.open(job.input_name, "rb")
        except FileNotFoundError as error:
            raise WorkRefusedError(
                "The input of this job is no longer in its storage. Send it again.",
                code="input_gone",
            ) from error

        if _measure(self._file) != (job.input_bytes, job.input_sha256):
            self._file.close()
            raise _damaged("was changed in its storage")

    def open(self, offset: int) -> BinaryIO:
        self._file.seek(offset)

        return cast("BinaryIO", self._file)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _damaged(what: str) -> WorkRefusedError:
    return WorkRefusedError(
        f"The input of this job {what}. Send it again.", code="input_changed"
    )


class InputReader(io.RawIOBase):
    """An input in the database from some byte on, a piece at a time.

    Raises WorkRefusedError instead of handing out a piece that is not what was sent.
    """

    def __init__(self, job_id: UUID, offset: int, *, using: str) -> None:
        self._pieces = JobInput.objects.using(using).filter(job_id=job_id)
        self._at = offset
        self._piece = b""
        #: Pieces that were fetched and not read, in order.
        self._fetched: deque[JobInput] = deque()
        #: Where they end.
        self._end = offset
        self._has_all = False

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

    def fetch(self, size: int) -> None:
        """Have so many bytes, or all, where reading them asks nothing of the
        database."""
        while self._end - self._at < size and not self._has_all:
            pieces = self._pieces.filter(start__lte=self._end)
            piece = pieces.order_by("-start").first()

            if piece is None or self._end >= piece.start + piece.size:
                self._has_all = True
                return

            self._fetched.append(piece)
            self._end = piece.start + piece.size

    def _fetch(self) -> bytes:
        if not self._fetched:
            self.fetch(1)

        if not self._fetched:
            return b""

        piece = self._fetched.popleft()

        return _inflated(piece)[self._at - piece.start :]


def _inflated(piece: JobInput) -> bytes:
    try:
        data = zlib.decompress(piece.data)
    except zlib.error as error:
        raise _changed(piece) from error

    if hashlib.sha256(data).hexdigest() != piece.sha256:
        raise _changed(piece)

    return data


def _changed(piece: JobInput) -> WorkRefusedError:
    return _damaged(f"was changed in the database, at or after byte {piece.start}")
