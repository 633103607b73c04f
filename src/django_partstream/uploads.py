"""An upload, read once in bounded memory into a file of its own.

By then it is known to be well-formed, and how many rows it has decides whether it is
answered now.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import io
import json
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from . import conf
from .bulk import decoding, rows
from .bulk.json_values import ConstantError, decode
from .errors import EmptyUploadError, InvalidJSONError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .bulk.operation import Operation
    from .intent import Body

__all__ = ("inspect", "spooled", "unwrapped")

READ_BYTES = 256 * 1024
SPOOL_BYTES = 2 * 1024 * 1024
#: A JSON object is read whole; an array is not.
MAX_OBJECT_BYTES = 2 * 1024 * 1024


def unwrapped(body: Body) -> tuple[Body, Mapping[str, Any] | None]:
    """A JSON object in place of an array, as the array that it stands for.

    It is the only row itself; or, with an array in `data`, it names the rows and
    beside them `unique_fields` and `update_fields`. Also returns the object; None for
    an array, which is left unread. Raises our 4xx errors.
    """
    if body.content_type != "application/json":
        return body, None

    head = body.stream.read(READ_BYTES)
    stream = decoding.Prefixed(head, body.stream)

    if not head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return dataclasses.replace(body, stream=stream), None

    given = _object(stream)
    rows_given = given.get("data")
    is_wrapper = isinstance(rows_given, list)
    array = json.dumps(rows_given if is_wrapper else [given]).encode()

    return dataclasses.replace(body, stream=io.BytesIO(array), charset=None), given


def _object(stream: decoding.Readable) -> dict[str, Any]:
    text = b""

    while block := stream.read(READ_BYTES):
        text += block

        if len(text) > MAX_OBJECT_BYTES:
            raise TooLargeError(
                f"A JSON object must not exceed {MAX_OBJECT_BYTES} bytes here. Send "
                "the rows as an array, and what else it says in the query string."
            )

    try:
        value = decode(text.decode("utf-8-sig"))
    except (ConstantError, RecursionError, ValueError) as error:
        raise InvalidJSONError(f"The JSON is not valid: {error}.") from error

    assert isinstance(value, dict)  # for mypy: it begins with a brace

    return value


@contextlib.contextmanager
def spooled() -> Iterator[BinaryIO]:
    """A file that is forgotten with its scope."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        yield cast("BinaryIO", spool)


class _Tee:
    """Reads from one stream, and writes what was read to another."""

    def __init__(self, source: Any, copy: BinaryIO) -> None:
        self._source = source
        self._copy = copy

    def read(self, size: int = READ_BYTES) -> bytes:
        data: bytes = self._source.read(size)
        self._copy.write(data)

        return data


def inspect(body: Body, operation: Operation, spool: BinaryIO) -> rows.Inspection:
    """Read the whole body into `spool`; afterwards it can be read from its beginning
    without an error. Raises our 4xx errors."""
    known, required = operation.csv_columns()

    inspection = rows.inspect(
        cast("BinaryIO", _Tee(body.stream, spool)),
        content_type=body.content_type,
        charset=body.charset,
        known=known,
        required=required,
        max_rows=conf.current().max_rows,
        size=conf.current().batch_size,
    )
    spool.seek(0)

    # An empty array asks for nothing; a file without rows was meant to have some.
    if inspection.dialect.format == "csv" and not inspection.rows:
        raise EmptyUploadError("The upload has a header and no rows. Add rows to it.")

    return inspection
