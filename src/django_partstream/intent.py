"""What a bulk request asks for, read from everything but its rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from . import conf, preferences
from .bulk.rows import CSV_TYPES, JSON_TYPES
from .errors import (
    BadRequestError,
    EmptyUploadError,
    TooLargeError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

__all__ = ("Body", "Intent", "check_length", "read_body", "read_intent")


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


def read_body(request: Request) -> Body:
    """The raw upload, not read yet.

    Raises UnsupportedMediaError, TooLargeError by the declared length,
    EmptyUploadError, BadRequestError for a form without one file.
    """
    content_type = (request.content_type or "").partition(";")[0].strip().lower()

    if content_type == "multipart/form-data":
        return _file_of_form(request)

    length = str(request.META.get("CONTENT_LENGTH") or "")
    check_length(int(length) if length.isdecimal() else 0)

    if not content_type and length in ("", "0"):
        raise EmptyUploadError

    kind = _kind(content_type)
    stream = request.stream

    if stream is None:
        raise EmptyUploadError

    return Body(
        stream=stream,
        content_type=kind,
        charset=(request._request.content_params or {}).get("charset"),
        form={},
    )


def _file_of_form(request: Request) -> Body:
    files = list(request.FILES.values())

    if len(files) != 1:
        raise BadRequestError(
            f"The form has {len(files)} files; expected one CSV file.",
        )

    file = files[0]
    check_length(file.size or 0)

    return Body(
        stream=file,
        content_type="text/csv",
        charset=file.charset,
        form={key: str(value) for key, value in request.POST.items()},
    )


def _kind(content_type: str) -> str:
    if content_type in CSV_TYPES:
        return "text/csv"

    if content_type in JSON_TYPES:
        return "application/json"

    raise UnsupportedMediaError(
        f"The media type {content_type!r} is not supported here. Send text/csv or "
        "application/json, or a CSV file in multipart/form-data."
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
