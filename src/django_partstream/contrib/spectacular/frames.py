"""Frames, as a union that `type` tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .pieces import (
    ANYTHING,
    INTEGER,
    NULLABLE_TEXT,
    TEXT,
    array_of,
    component,
    object_of,
    problem,
    tag,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .pieces import Schema

__all__ = ("frames_of", "job_frames_of")

MS: Schema = {"type": "number", "description": "Milliseconds of the part's own work."}
REASONS = ["complete", "deadline", "shutdown", "refused"]


def frames_of(name: str, parts: Mapping[str, Schema], registry: Any) -> Schema:
    """The frames of a view whose parts have these schemas."""
    of_parts = [_part(name, part, schema, registry) for part, schema in parts.items()]
    part = component(
        registry,
        f"{name}PartFrame",
        _union("name", dict(zip(parts, of_parts, strict=True)))
        if parts
        else _frame("part", {"name": TEXT, "data": ANYTHING}, required=["name"]),
    )
    kinds = {
        "start": _start(registry),
        "part": part,
        "items": component(
            registry,
            f"{name}ItemsFrame",
            _frame(
                "items", {"name": TEXT, "seq": INTEGER, "items": array_of(ANYTHING)}
            ),
        ),
        "error": component(
            registry,
            f"{name}ErrorFrame",
            _frame(
                "error",
                {
                    "name": TEXT,
                    "error": problem(registry),
                    "cursor": NULLABLE_TEXT,
                    "ms": MS,
                },
                required=["name", "error"],
            ),
        ),
        "ping": component(registry, "PingFrame", _frame("ping", {})),
        "live": component(registry, "LiveFrame", _frame("live", {})),
        "end": _end(registry),
    }

    return component(registry, f"{name}Frame", _union("type", kinds))


def job_frames_of(snapshot: Schema, registry: Any) -> Schema:
    """The frames of a job, whose `progress` has all that its status has."""
    progress = component(
        registry,
        "ProgressFrame",
        {"allOf": [_frame("progress", {}), snapshot]},
    )
    kinds = {
        "start": _start(registry),
        "progress": progress,
        "ping": component(registry, "PingFrame", _frame("ping", {})),
        "end": _end(registry),
    }

    return component(registry, "JobFrame", _union("type", kinds))


def _part(name: str, part: str, schema: Schema, registry: Any) -> Schema:
    title = "".join(word.capitalize() for word in part.replace("-", "_").split("_"))

    return component(
        registry,
        f"{name}{title}PartFrame",
        _frame(
            "part",
            {
                "name": tag(part),
                "data": schema,
                "count": {**INTEGER, "description": "Closes a list of `items`."},
                "cursor": NULLABLE_TEXT,
                "ms": MS,
            },
            required=["name"],
        ),
    )


def _start(registry: Any) -> Schema:
    return component(
        registry,
        "StartFrame",
        _frame(
            "start", {"v": INTEGER, "parts": array_of(TEXT), "cursor": NULLABLE_TEXT}
        ),
    )


def _end(registry: Any) -> Schema:
    return component(
        registry,
        "EndFrame",
        _frame(
            "end",
            {
                "ok": INTEGER,
                "failed": INTEGER,
                "cursor": NULLABLE_TEXT,
                "reason": {**TEXT, "enum": REASONS},
                "error": problem(registry),
            },
            required=["ok", "failed", "cursor", "reason"],
        ),
    )


def _frame(
    kind: str,
    properties: Mapping[str, Schema],
    *,
    required: list[str] | None = None,
) -> Schema:
    return object_of(
        {"type": tag(kind), **properties},
        required=["type", *(properties if required is None else required)],
    )


def _union(told_by: str, kinds: Mapping[str, Schema]) -> Schema:
    return {
        "oneOf": list(kinds.values()),
        "discriminator": {
            "propertyName": told_by,
            "mapping": {value: schema["$ref"] for value, schema in kinds.items()},
        },
    }
