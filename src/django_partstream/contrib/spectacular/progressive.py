"""Progressive views: their parts, as pages and as a union of frames."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from drf_spectacular.drainage import warn
from drf_spectacular.extensions import OpenApiViewExtension

from django_partstream import conf
from django_partstream.parts.plan import Plan, make_plan
from django_partstream.views import ProgressiveView

from .frames import frames_of
from .pieces import (
    ANYTHING,
    INTEGER,
    JSON,
    NDJSON,
    NULLABLE_TEXT,
    SSE,
    TEXT,
    Schema,
    array_of,
    component,
    described,
    header,
    nullable,
    object_of,
    problem,
    problems,
    query,
    response,
)
from .values import schema_of

__all__ = ("ProgressiveExtension",)


FORMATS: Schema = {"type": "string", "enum": ["json", "ndjson", "sse"]}


class ProgressiveExtension(OpenApiViewExtension):
    target_class = "django_partstream.views.ProgressiveView"
    match_subclasses = True

    def view_replacement(self) -> Any:
        schema = type("ProgressiveSchema", (_Operation, type(self.target.schema)), {})

        return type(self.target.__name__, (self.target,), {"schema": schema()})


class _Operation:
    """What is special, for drf-spectacular's AutoSchema."""

    view: Any
    registry: Any

    def get_description(self) -> str:
        return described(self.view, ProgressiveView)

    def get_request_serializer(self) -> None:
        return None

    def get_response_serializers(self) -> None:
        return None

    def _get_parameters(self) -> list[Schema]:
        inherited: list[Schema] = super()._get_parameters()  # type: ignore[misc]
        names = list(self._schemas)
        known = {**TEXT, "enum": names} if names else TEXT

        return [
            *(one for one in inherited if one["name"] != "format"),
            query("cursor", TEXT, "Go on where the answer that gave it ended."),
            query("parts", array_of(known), "Only these.", style="form", explode=False),
            query("chunk_size", {**INTEGER, "minimum": 1}, "Parts of a page."),
            query("live", {**TEXT, "enum": ["1"]}, "Keep a stream open for changes."),
            query("format", FORMATS, "Beats `Accept`."),
            header("Last-Event-ID", "The cursor of an EventSource."),
        ]

    def _get_request_body(self, direction: str = "request") -> None:
        return None

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Schema]:
        schemas = self._schemas
        name = type(self.view).__name__.removesuffix("View")
        frame = frames_of(name, schemas, self.registry)

        return {
            "200": response(
                "A page; or frames, one a line or one an event, in the order in which "
                "parts are ready.",
                {JSON: self._page(name, schemas), NDJSON: frame, SSE: ANYTHING},
            ),
            "204": response("With `Last-Event-ID: done`: everything was sent."),
            **problems(self.registry, 400, 401, 403, 404, 406, 410, 414, 429),
        }

    def _page(self, name: str, schemas: dict[str, Schema]) -> Schema:
        results = [
            object_of({part: nullable(schema)}, more=False)
            for part, schema in schemas.items()
        ]
        properties = {
            "results": array_of({"oneOf": results} if results else {"type": "object"}),
            "cursor": {**NULLABLE_TEXT, "description": "null: this was the last page."},
            "meta": object_of(
                {
                    "total_parts": INTEGER,
                    "current_chunk_size": INTEGER,
                    "has_more": {"type": "boolean"},
                }
            ),
            "errors": array_of(problem(self.registry)),
        }

        return component(
            self.registry,
            f"{name}Page",
            object_of(properties, required=["results", "cursor", "meta"]),
        )

    @cached_property
    def _schemas(self) -> dict[str, Schema]:
        plan = self._plan()

        return {part.name: schema_of(part.value, self) for part in plan.parts}

    def _plan(self) -> Plan:
        """The parts that the view has for the request that asks for the schema."""
        get_parts = self.view.get_parts

        if iscoroutinefunction(get_parts):
            get_parts = async_to_sync(get_parts)

        try:
            return make_plan(get_parts(), max_parts=conf.current().max_parts)
        except Exception as error:
            # The project's code, which wants a real request perhaps. It may look at
            # `self.swagger_fake_view`, as everywhere with drf-spectacular.
            warn(
                f"get_parts() of {type(self.view).__name__} raised "
                f"{type(error).__name__}: {error}; the schema has no parts of it."
            )

            return Plan(())
