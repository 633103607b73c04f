"""What a bulk request asks for, read from everything but its rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from . import conf, preferences
from .bulk.inflating import as_file, inflated
from .bulk.rows import CSV_TYPES, JSON_TYPES, NDJSON_TYPES
from .errors import (
    BadRequestError,
    EmptyUploadError,
    TooLargeError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

__all__ = (
    "Body",
    "Intent",
    "check_length",
    "inflate_form",
    "read_body",
    "read_intent",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The raw upload: a stream of bytes with its type."""

    stream: Any
    content_type: str
    charset: str | None
    #: Form fields that came beside a file.
    form: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What an upsert request asks for, beside its rows."""

    unique_fields: tuple[str, ...]
    update_fields: tuple[str, ...] | None
    preferences: preferences.Preferences


def inflate_form(http: HttpRequest) -> None:
    """Let a compressed form be read as what it holds.

    To be called before anything reads the body. Raises UnsupportedMediaError, and
    TooLargeError by the declared length.
    """
    coding = http.headers.get("Content-Encoding")

    if coding is None or not _is_form(http.content_type):
        return

    check_length(_declared_length(http))
    limit = conf.current().max_decompressed_bytes
    # Nobody knows how much is in it: into a file with it, not into memory.
    http.META["CONTENT_LENGTH"] = str(limit)
    packed = http._stream
    http._stream = as_file(inflated(packed, coding, limit=limit), packed)


def read_body(request: Request) -> Body:
    """The raw upload, not read yet.

    Raises UnsupportedMediaError, TooLargeError by the declared length,
    EmptyUploadError, BadRequestError for a form without one file.
    """
    if _is_form(request.content_type):
        return _file_of_form(request)

    http = request._request
    length = _declared_length(http)
    check_length(length)
    content_type = _bare(request.content_type)

    if not content_type and not length:
        raise EmptyUploadError

    return Body(
        stream=inflated(
            _Counted(http),
            http.headers.get("Content-Encoding"),
            limit=conf.current().max_decompressed_bytes,
        ),
        content_type=_kind(content_type),
        charset=(http.content_params or {}).get("charset"),
        form={},
    )


class _Counted:
    """A stream whose length was not declared, or not truly."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._size = 0

    def read(self, size: int, /) -> bytes:
        data: bytes = self._stream.read(size)
        self._size += len(data)
        check_length(self._size)

        return data


def _declared_length(http: HttpRequest) -> int:
    length = str(http.META.get("CONTENT_LENGTH") or "")

    return int(length) if length.isascii() and length.isdecimal() else 0


def _is_form(content_type: str | None) -> bool:
    return _bare(content_type) == "multipart/form-data"


def _bare(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _file_of_form(request: Request) -> Body:
    files = list(request.FILES.values())

    if len(files) != 1:
        raise BadRequestError(
            f"The form has {len(files)} files; expected one.",
        )

    file = files[0]

    if "Content-Encoding" not in request.headers:
        check_length(file.size or 0)

    return Body(
        stream=file,
        content_type=_kind_of_file(_bare(file.content_type)),
        charset=file.charset,
        form={key: str(value) for key, value in request.POST.items()},
    )


def _kind_of_file(content_type: str) -> str:
    # Browsers and systems do not agree on what a CSV file is.
    return (
        _kind(content_type) if content_type in JSON_TYPES + NDJSON_TYPES else "text/csv"
    )


def _kind(content_type: str) -> str:
    if content_type in CSV_TYPES:
        return "text/csv"

    if content_type in JSON_TYPES:
        return "application/json"

    if content_type in NDJSON_TYPES:
        return "application/x-ndjson"

    raise UnsupportedMediaError(
        f"The media type {content_type!r} is not supported here. Send text/csv, "
        "application/json or application/x-ndjson, or a file in multipart/form-data."
    )


def check_length(length: int) -> None:
    """Raises TooLargeError for more bytes than `MAX_UPLOAD_BYTES`."""
    limit = conf.current().max_upload_bytes

    if length > limit:
        raise TooLargeError(
            f"The upload has {length} bytes; at most {limit} are allowed. Split it."
        )


def read_intent(request: Request, body: Body) -> Intent:
    """What the query string, the form and the `Prefer` header ask for."""
    unique = _names(request, body, "unique_fields")
    update = _names(request, body, "update_fields")

    return Intent(
        unique_fields=unique or (),
        update_fields=update,
        preferences=preferences.parse(request.headers.get("Prefer")),
    )


def _names(request: Request, body: Body, key: str) -> tuple[str, ...] | None:
    text = request.query_params.get(key, body.form.get(key))

    if text is None:
        return None

    return tuple(name.strip() for name in text.split(",") if name.strip())
