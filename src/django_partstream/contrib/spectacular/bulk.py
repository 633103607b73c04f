"""Collections that take many rows, and the addresses beside them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension

from django_partstream import mixins
from django_partstream.bulk_view import BulkView
from django_partstream.mixins import BulkOperationsMixin
from django_partstream.routers import ACTIONS, ASYNC_ACTIONS, Purpose

from .jobs import accepted
from .pieces import (
    ANYTHING,
    INTEGER,
    JSON,
    NDJSON,
    TEXT,
    Schema,
    array_of,
    component,
    described,
    header,
    object_of,
    plain_errors,
    problems,
    query,
    response,
)

__all__ = ("BulkExtension",)

FORM = "multipart/form-data"
PREFER = (
    "`return=minimal`, `handling=lenient`, `tx=rollback`, `respond-async`, `wait=10` "
    "(RFC 7240)."
)
MODE = {"Bulk-Mode": "`batch`, or `rows; reason=…`."}
VERBS = {"POST": "create", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}
SAID = {
    "POST": "Create the object, or all of these; with `unique_fields`, what is there "
    "already is updated.",
    "PUT": "Replace the objects with these keys.",
    "PATCH": "Change of the objects with these keys what is said of each.",
    "DELETE": "Delete the objects with these keys.",
}
SAID_BESIDE = {
    Purpose.OPERATIONS: "As a job.",
    Purpose.UPSERT: "A few rows, now: what has no such key yet is created.",
    Purpose.QUERY: "Many objects, by their keys or by filters.",
}
#: What has a description of its own, which is not the project's.
BASES = (BulkView, *(getattr(mixins, name) for name in mixins.__all__))
FORMATS: Schema = {"type": "string", "enum": ["json", "ndjson"]}
IDS = "These, in this order."
ACTIONS_OF_COLLECTION = frozenset({*ACTIONS.values(), *ASYNC_ACTIONS.values()})
STATUSES = (400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 503)
COUNTED = ("created", "updated", "unchanged")


class BulkExtension(OpenApiViewExtension):
    target_class = "django_partstream.bulk_view.BulkView"
    match_subclasses = True

    def view_replacement(self) -> Any:
        schema = type("BulkSchema", (_Operation, type(self.target.schema)), {})

        return type(self.target.__name__, (self.target,), {"schema": schema()})


class _Operation:
    """What is special, for drf-spectacular's AutoSchema. An object's own address, and
    actions of the project's own, are as everywhere."""

    view: Any
    registry: Any
    method: str
    path: str

    @property
    def _is_ours(self) -> bool:
        """Whether rows are read or written by us."""
        return self._is_beside or (self.method in VERBS and self._is_collection)

    @property
    def _is_beside(self) -> bool:
        return self.view.bulk_purpose is not None

    @property
    def _asks(self) -> bool:
        """Whether this reads many objects, at an address of ours."""
        return self._is_beside and (
            self.method == "GET" or self.view.bulk_purpose is Purpose.QUERY
        )

    @property
    def _is_collection(self) -> bool:
        action = self.view.action_map.get(self.method.lower())

        return (
            issubclass(type(self.view), BulkOperationsMixin)
            and not self.view.detail
            and action in ACTIONS_OF_COLLECTION
        )

    def get_operation_id(self) -> str:
        name: str = super().get_operation_id()  # type: ignore[misc]

        if not self._is_ours or self._is_beside or self.method == "POST":
            return name

        base = name.removesuffix("_update").removesuffix("_partial")

        return f"{base.removesuffix('_destroy')}_{VERBS[self.method]}_many"

    def get_description(self) -> str:
        own = described(self.view, *BASES)
        what = SAID_BESIDE[self.view.bulk_purpose] if self._is_beside else ""

        if self._is_ours and not self._asks:
            what = " ".join(filter(None, (what, SAID[self.method])))

        return "\n\n".join(filter(None, (what, own)))

    def _get_parameters(self) -> list[Schema]:
        found: list[Schema] = super()._get_parameters()  # type: ignore[misc]
        beside = [one for one in found if self._is_beside and one["in"] == "path"]

        if self._asks:
            formats = query("format", FORMATS, "Beats `Accept`.")

            return [*beside, _listed("ids", IDS), formats, header("Prefer", PREFER)]

        if self.method == "GET" and self._is_collection:
            return [*found, _listed("ids", IDS)]

        if not self._is_ours:
            return found

        return [
            *(beside if self._is_beside else found),
            *(() if self.method == "DELETE" else _upserting()),
            header("Prefer", PREFER),
            header("Idempotency-Key", "Sent again with it, a request is done once."),
        ]

    def _get_request_body(self, direction: str = "request") -> Any:
        if not self._is_ours or self.method == "GET":
            inherited = super()._get_request_body  # type: ignore[misc]

            return None if self._is_ours else inherited(direction)

        if self._asks:
            question = object_of(
                {"filters": {"type": "object"}, "ids": array_of(ANYTHING)},
                required=(),
                more=False,
            )

            return _body({JSON: component(self.registry, "BulkQuestion", question)})

        return _body(self._rows())

    def _rows(self) -> dict[str, Schema]:
        key = {"anyOf": [INTEGER, TEXT, {"type": "object"}]}
        one = key if self.method == "DELETE" else self._row("request")
        single = self.method == "POST" and not self._is_beside
        form = object_of(
            {
                "file": {"type": "string", "format": "binary"},
                "unique_fields": TEXT,
                "update_fields": TEXT,
            },
            required=["file"],
        )

        return {
            JSON: {"oneOf": [one, array_of(one)]} if single else array_of(one),
            NDJSON: TEXT,
            "text/csv": TEXT,
            FORM: form,
        }

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Schema]:
        if not self._is_ours:
            inherited = super()._get_response_bodies(direction)  # type: ignore[misc]
            unread = () if self.method == "GET" else (415,)
            errors = plain_errors(self.registry, 400, 401, 403, 404, 406, *unread)

            return {**errors, **inherited}

        return {**self._answers(), **self._errors()}

    def _errors(self) -> dict[str, Schema]:
        errors = problems(self.registry, *STATUSES)

        if self.method == "POST" and not self._is_beside:
            # One object is refused as by plain DRF.
            errors |= plain_errors(self.registry, 400, 401, 403, 415)

        return errors

    def _answers(self) -> dict[str, Schema]:
        if self._asks:
            return {
                "200": response(
                    "A few at once; as NDJSON any number.",
                    {JSON: self._objects(), NDJSON: self._row("response")},
                ),
                "202": accepted(self.registry),
            }

        if self.view.bulk_purpose is Purpose.UPSERT:
            found = {JSON: self._upserted()}

            return {
                "200": response("All of them were written.", found, MODE),
                "207": response("With `handling=lenient`: some are not.", found, MODE),
            }

        status = "201" if self.method == "POST" and not self._is_beside else "200"
        found = {JSON: self._stored(), NDJSON: self._row("response")}
        stored = response("What is stored now; as NDJSON a line each.", found, MODE)

        return {
            # With unique_fields, and for a job that was waited for.
            "200": stored,
            status: stored,
            "202": accepted(self.registry),
            "207": response(
                "With `handling=lenient`: counts, then each row.",
                {JSON: self._outcomes()},
                MODE,
            ),
        }

    def _row(self, direction: str) -> Schema:
        serializer = self.view.get_serializer()
        resolved = super().resolve_serializer(serializer, direction)  # type: ignore[misc]

        return dict(resolved.ref)

    def _objects(self) -> Schema:
        return object_of(
            {
                "count": INTEGER,
                "results": array_of(self._row("response")),
                "operation_type": TEXT,
                "missing": array_of(ANYTHING),
            },
            required=["count", "results"],
        )

    def _upserted(self) -> Schema:
        return component(
            self.registry,
            "BulkUpserted",
            object_of(
                {
                    "message": TEXT,
                    "total_items": INTEGER,
                    **{f"{name}_count": INTEGER for name in COUNTED},
                    "error_count": INTEGER,
                    **{f"{name}_ids": array_of(ANYTHING) for name in COUNTED},
                    "errors": array_of({"type": "object"}),
                    "unique_fields": array_of(TEXT),
                    "update_fields": array_of(TEXT),
                }
            ),
        )

    def _stored(self) -> Schema:
        minimal = component(
            self.registry, "BulkCount", object_of({"message": TEXT, "count": INTEGER})
        )

        if self.method == "DELETE":
            return minimal

        one = self._row("response")
        choices = [array_of(one), minimal]

        return {"anyOf": [*choices, one] if self.method == "POST" else choices}

    def _outcomes(self) -> Schema:
        row = object_of(
            {
                "row": INTEGER,
                "outcome": TEXT,
                "pk": ANYTHING,
                "data": ANYTHING,
                "errors": array_of(ANYTHING),
            },
            required=["row", "outcome"],
        )
        counts = (*COUNTED, "deleted", "failed")

        return component(
            self.registry,
            "BulkOutcome",
            object_of(
                {**dict.fromkeys(counts, INTEGER), "results": array_of(row)},
                required=counts,
            ),
        )


def _listed(name: str, description: str) -> Schema:
    return query(name, array_of(TEXT), description, style="form", explode=False)


def _upserting() -> list[Schema]:
    return [
        _listed("unique_fields", "Create what has no such key yet, update the rest."),
        _listed("update_fields", "Of what is there, change only these."),
    ]


def _body(content: dict[str, Schema]) -> Schema:
    return {
        "required": True,
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }
