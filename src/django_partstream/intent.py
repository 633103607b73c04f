"""What a bulk request asks for, read from everything but its rows."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

from . import conf, preferences
from .bulk import decoding
from .bulk.inflating import as_file, inflated
from .bulk.rows import CSV_TYPES, JSON_TYPES, NDJSON_TYPES
from .bulk.verb import Verb
from .errors import (
    BadRequestError,
    EmptyUploadError,
    NotCSVError,
    PartstreamError,
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
    "holds_rows",
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
    """What a bulk request asks for, beside its rows."""

    verb: Verb
    unique_fields: tuple[str, ...]
    update_fields: tuple[str, ...] | None
    preferences: preferences.Preferences
    #: As it was sent.
    max_errors: str | None = None
    #: The row came as an object, and is answered as one.
    is_single: bool = False


#: How much of a body is looked at, to see what it is.
HEAD_BYTES = 4 * 1024


def holds_rows(http: HttpRequest) -> bool:
    """Whether a body that came to a collection is many rows, and not one object.

    Every body of another method than POST is, since a collection has no other use for
    it; so is one in a format of rows, and one that asks for an upsert. Of JSON, an
    array is. A form is told by its fields, which nobody has read yet.
    """
    kind = _bare(http.content_type)

    if kind == "multipart/form-data":
        return http.method != "POST" or "unique_fields" in http.GET

    if http.method != "POST" or "unique_fields" in http.GET:
        return True

    if kind in CSV_TYPES + NDJSON_TYPES:
        return True

    return kind in JSON_TYPES and _first_character(http) == "["


def _first_character(http: HttpRequest) -> str:
    """Of a JSON body; the body stays unread."""
    head = _head(http)
    coding = http.headers.get("Content-Encoding")

    try:
        head = inflated(io.BytesIO(head), coding, limit=HEAD_BYTES).read(HEAD_BYTES)
        encoding, start = decoding.encoding_of(head, None)
        text = head[start:].decode(encoding, errors="ignore")
    except PartstreamError:
        # Whoever reads it will say so.
        return ""

    return text.lstrip(" \t\n\r")[:1]


def _head(http: HttpRequest) -> bytes:
    stream = http._stream

    if hasattr(stream, "seekable") and stream.seekable():
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
    else:
        head = stream.read(HEAD_BYTES)
        http._stream = as_file(decoding.Prefixed(head, stream), stream)

    return head


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

    kind = _kind_of_file(_bare(file.content_type))

    if kind == "text/csv":
        _check_csv_file(request, file)

    return Body(
        stream=file,
        content_type=kind,
        charset=file.charset,
        form={key: str(value) for key, value in request.POST.items()},
    )


def _check_csv_file(request: Request, file: Any) -> None:
    """Raises TooLargeError by the view's own limit; where the older documents ask for
    a CSV file's name, NotCSVError for what has none."""
    view = (request.parser_context or {}).get("view")
    name = str(file.name or "")

    if getattr(view, "bulk_purpose", None) and not name.lower().endswith(".csv"):
        raise NotCSVError(
            f"The file {name[:80]!r} has no name of a CSV file. End it with "
            ".csv, or say that it is application/json or application/x-ndjson."
        )

    limit = getattr(view, "csv_max_file_size", None)

    if limit is not None and file.size > limit:
        raise TooLargeError(
            f"The file has {file.size} bytes; at most {limit} are allowed here. "
            "Split it."
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


#: What rows with a key of their own make of a verb.
BY_KEY = {
    Verb.CREATE: Verb.UPSERT,
    Verb.UPDATE: Verb.UPSERT,
    Verb.REPLACE: Verb.PUT,
    Verb.DELETE: Verb.DELETE,
}


def read_intent(
    request: Request,
    body: Body,
    verb: Verb,
    given: Mapping[str, Any] | None = None,
) -> Intent:
    """What the query string, the form, the `Prefer` header, or the object that was
    `given` in place of an array ask for, of a request whose method means `verb`.

    Raises BadRequestError for names that are no list of names.
    """
    wrapper = given if given is not None and isinstance(given.get("data"), list) else {}
    unique = _names(request, body, wrapper, "unique_fields")
    update = _names(request, body, wrapper, "update_fields")

    if unique is not None:
        verb = BY_KEY[verb]

    if verb is Verb.PUT and update is not None:
        # Who changes some fields of a stored row does not replace it.
        verb = Verb.UPSERT

    return Intent(
        verb=verb,
        unique_fields=unique or (),
        update_fields=update,
        preferences=preferences.parse(request.headers.get("Prefer")),
        max_errors=request.query_params.get("max_errors", body.form.get("max_errors")),
        is_single=given is not None and not wrapper,
    )


def _names(
    request: Request, body: Body, wrapper: Mapping[str, Any], key: str
) -> tuple[str, ...] | None:
    names: Any = request.query_params.get(key, body.form.get(key, wrapper.get(key)))

    if names is None:
        return None

    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]

    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequestError(f"{key} must be names, in a list or with commas between.")

    return tuple(names)
