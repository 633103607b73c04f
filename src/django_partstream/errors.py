"""Every exception that this package raises on purpose.

Nothing else lives here: no Django, no DRF. How an error becomes an answer is
decided by the face (`views.problem_response`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "BadRequestError",
    "BusyError",
    "ColumnsError",
    "CursorExpiredError",
    "CursorInvalidError",
    "EmptyUploadError",
    "IdempotencyConflictError",
    "IdempotencyKeyError",
    "IdempotencyMismatchError",
    "InvalidFilterError",
    "InvalidJSONError",
    "InvalidRowsError",
    "JobUnavailableError",
    "JobUnfinishedError",
    "NotCSVError",
    "NotFoundError",
    "NothingToRetryError",
    "PartOptionError",
    "PartTimeoutError",
    "PartTypeError",
    "PartstreamError",
    "PlanError",
    "QueryTimeoutError",
    "QueryTooLongError",
    "StorageUnavailableError",
    "TooLargeError",
    "TooManyJobsError",
    "TooManyRowsError",
    "TooManyStreamsError",
    "UndecodableError",
    "UnencodableError",
    "UniqueFieldsError",
    "UnknownPartError",
    "UnsupportedMediaError",
)


class PartstreamError(Exception):
    """The request could not be served."""

    #: Stable, lower-snake; part of the wire contract.
    code: ClassVar[str] = "error"
    #: The HTTP status that answers it.
    status: ClassVar[int] = 500
    #: Seconds after which it is worth trying again; None: it is not.
    retry_after: ClassVar[int | None] = None

    def __init__(
        self, detail: str | None = None, *, extra: Mapping[str, Any] | None = None
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        #: Further members of the problem document.
        self.extra = dict(extra or {})
        super().__init__(self.detail)


class PlanError(PartstreamError):
    """The list of parts is not one that can be served."""

    code = "invalid_plan"


class PartTypeError(PlanError, TypeError):
    """A part is declared with something of the wrong kind."""


class PartOptionError(PlanError, ValueError):
    """An option of a part has a value that cannot be."""


class PartTimeoutError(PartstreamError, TimeoutError):
    """The part took too long."""

    code = "timeout"
    status = 504

    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"This part took longer than {seconds:g} s.")


class BadRequestError(PartstreamError):
    """The request is malformed."""

    code = "bad_request"
    status = 400


class CursorInvalidError(BadRequestError):
    """The cursor is not valid here. Start again without a cursor."""

    code = "cursor_invalid"


class CursorExpiredError(PartstreamError):
    """The cursor has expired. Start again without a cursor."""

    code = "cursor_expired"
    status = 410


class UnknownPartError(BadRequestError):
    """A part was asked for that this view does not have."""

    code = "unknown_part"


class QueryTimeoutError(PartstreamError):
    """The database took longer than this may take; nothing was written."""

    code = "query_timeout"
    status = 503
    retry_after = 5


class QueryTooLongError(PartstreamError):
    """The query string is too long to be carried by a cursor."""

    code = "query_too_long"
    status = 414


class TooManyStreamsError(PartstreamError):
    """Too many streams are open already."""

    code = "too_many_streams"
    status = 429
    retry_after = 5


class NotFoundError(PartstreamError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class UnencodableError(PartstreamError):
    """A value has no JSON form."""

    code = "unencodable"


class EmptyUploadError(BadRequestError):
    """The upload is empty. Send CSV with a header line, or a JSON array."""

    code = "empty_upload"


class UndecodableError(BadRequestError):
    """The upload is not text in the encoding that it claims."""

    code = "undecodable"


class NotCSVError(BadRequestError):
    """The upload is not CSV."""

    code = "not_csv"


class ColumnsError(BadRequestError):
    """The columns of the upload do not fit the serializer."""

    code = "invalid_columns"


class InvalidJSONError(BadRequestError):
    """The upload is not a JSON array of objects."""

    code = "invalid_json"


class UniqueFieldsError(BadRequestError):
    """These fields cannot be used as `unique_fields`."""

    code = "invalid_unique_fields"


class InvalidFilterError(BadRequestError):
    """These filters cannot be applied."""

    code = "invalid_filter"


class InvalidRowsError(BadRequestError):
    """Some rows are not valid; nothing was written."""

    code = "invalid_rows"


class UnsupportedMediaError(PartstreamError):
    """The media type of the upload is not supported."""

    code = "unsupported_media_type"
    status = 415


class TooLargeError(PartstreamError):
    """The upload is larger than allowed."""

    code = "too_large"
    status = 413


class TooManyRowsError(TooLargeError):
    """The upload has more rows than allowed."""

    code = "too_many_rows"


class BusyError(PartstreamError):
    """Others are writing the same rows. Send the request again."""

    code = "busy"
    status = 503
    #: Seconds.
    retry_after = 1


class StorageUnavailableError(PartstreamError):
    """The upload cannot be kept: its storage is full, or away. Send it again later."""

    code = "storage_unavailable"
    status = 503
    retry_after = 30


class TooManyJobsError(PartstreamError):
    """One user has too many unfinished jobs."""

    code = "too_many_jobs"
    status = 429
    retry_after = 5


class NothingToRetryError(PartstreamError):
    """The job has no such rows to run again."""

    code = "nothing_to_retry"
    status = 409


class IdempotencyKeyError(BadRequestError):
    """The Idempotency-Key cannot be used."""

    code = "invalid_idempotency_key"


class IdempotencyMismatchError(PartstreamError):
    """This Idempotency-Key came with another request. Take a new one for this."""

    code = "idempotency_mismatch"
    status = 422


class IdempotencyConflictError(PartstreamError):
    """A request with this Idempotency-Key is being answered. Ask again."""

    code = "idempotency_conflict"
    status = 409
    retry_after = 1


class JobUnfinishedError(PartstreamError):
    """The job has not ended yet."""

    code = "job_unfinished"
    status = 409
    retry_after = 5


class JobUnavailableError(PartstreamError):
    """This request cannot be made a job."""

    code = "job_unavailable"
