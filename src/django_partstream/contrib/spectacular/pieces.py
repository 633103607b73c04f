"""Schemas that several operations speak of, and how an operation is put together."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from drf_spectacular.plumbing import ResolvedComponent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = (
    "ANYTHING",
    "INTEGER",
    "JSON",
    "NDJSON",
    "NULLABLE_TEXT",
    "PROBLEM_JSON",
    "SSE",
    "TEXT",
    "array_of",
    "component",
    "described",
    "header",
    "nullable",
    "object_of",
    "plain_errors",
    "problem",
    "problems",
    "query",
    "response",
    "tag",
)

Schema = dict[str, Any]

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
PROBLEM_JSON = "application/problem+json"

ANYTHING: Schema = {}
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NULLABLE_TEXT: Schema = {"type": "string", "nullable": True}

#: What each status that a client may have caused means, wherever it is answered.
MEANINGS = {
    400: "The request cannot be; `code` and `detail` say why.",
    401: "Who asks is not known.",
    403: "Who asks may not.",
    404: "There is nothing here, or nothing that the caller may know of.",
    406: "None of the asked media types can be had.",
    409: "Something else stands in the way.",
    410: "The cursor has expired.",
    413: "Too many bytes or rows.",
    414: "The query is too long for a cursor.",
    415: "Bodies of this media type are not read here.",
    422: "The `Idempotency-Key` was used for another request.",
    429: "Too many; `Retry-After` says when to come back.",
    500: "The application failed.",
    503: "Others are writing the same rows; `Retry-After` says when to come back.",
}


def component(registry: Any, name: str, schema: Schema) -> Schema:
    """A reference to the schema of this name, which is made known where it is not."""
    found = ResolvedComponent(
        name=name, type=ResolvedComponent.SCHEMA, schema=schema, object=name
    )
    registry.register_on_missing(found)

    return dict(found.ref)


def object_of(
    properties: Mapping[str, Schema],
    *,
    required: Iterable[str] | None = None,
    more: bool = True,
    description: str | None = None,
) -> Schema:
    """An object; without `required` all of its properties are."""
    names = list(properties if required is None else required)
    schema: Schema = {"type": "object", "properties": dict(properties)}

    if names:
        schema["required"] = names

    if not more:
        schema["additionalProperties"] = False

    if description:
        schema["description"] = description

    return schema


def tag(value: str) -> Schema:
    """The one value that tells an object of a union apart from the others."""
    # Not plain: drf-spectacular would collect it with all others of this name.
    return {"allOf": [{"type": "string", "enum": [value]}]}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """`schema` or null."""
    if not schema:
        return schema

    if "$ref" in schema:
        return {"allOf": [schema], "nullable": True}

    return {**schema, "nullable": True}


def described(view: Any, *bases: type) -> str:
    """What a view says of itself; not what it has from our classes."""
    own = inspect.getdoc(type(view)) or ""

    return "" if own in map(inspect.getdoc, bases) else own


def query(name: str, schema: Schema, description: str, **more: Any) -> Schema:
    return {
        "in": "query",
        "name": name,
        "schema": schema,
        "description": description,
        **more,
    }


def header(name: str, description: str) -> Schema:
    return {"in": "header", "name": name, "schema": TEXT, "description": description}


def response(
    description: str,
    content: Mapping[str, Schema] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Schema:
    """An answer: its schema by media type, its headers with what they say."""
    answer: Schema = {"description": description}

    if headers:
        answer["headers"] = {
            name: {"schema": TEXT, "description": text}
            for name, text in headers.items()
        }

    if content:
        answer["content"] = {
            media_type: {"schema": schema} for media_type, schema in content.items()
        }

    return answer


def problem(registry: Any) -> Schema:
    """RFC 9457, with what we add."""
    row_error = component(
        registry,
        "RowError",
        object_of({"pointer": TEXT, "code": TEXT, "detail": TEXT}),
    )
    bad_row = component(
        registry,
        "InvalidRow",
        object_of(
            {
                "row": INTEGER,
                "line": {**INTEGER, "nullable": True},
                "errors": array_of(row_error),
            },
            required=["row", "errors"],
        ),
    )

    return component(
        registry,
        "Problem",
        object_of(
            {
                "type": TEXT,
                "title": TEXT,
                "status": INTEGER,
                "detail": TEXT,
                "code": TEXT,
                "part": TEXT,
                "errors": array_of(row_error),
                "rows": array_of(bad_row),
            },
            required=["type", "title", "status", "code"],
            description="What went wrong (RFC 9457); `code` does not change.",
        ),
    )


def plain_errors(registry: Any, *statuses: int) -> dict[str, Schema]:
    """Where one object is asked for DRF answers, with a `detail` or texts by field;
    where many are, or none is known, a problem is."""
    either = {JSON: {"type": "object"}, PROBLEM_JSON: problem(registry)}

    return {str(status): response(MEANINGS[status], either) for status in statuses}


def problems(registry: Any, *statuses: int) -> dict[str, Schema]:
    return {
        str(status): response(MEANINGS[status], {PROBLEM_JSON: problem(registry)})
        for status in statuses
    }
