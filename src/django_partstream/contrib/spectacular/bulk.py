"""Collections that take many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiViewExtension

from django_partstream.mixins import BulkOperationsMixin

from .jobs import accepted
from .pieces import (
    ANYTHING,
    INTEGER,
    JSON,
    NDJSON,
    TEXT,
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

if TYPE_CHECKING:
    from .pieces import Schema

__all__ = ("BulkExtension",)

FORM = "multipart/form-data"
PREFER = (
    "`return=minimal`, `handling=lenient`, `tx=rollback`, `respond-async`, `wait=10` "
    "(RFC 7240)."
)
MODE = {"Bulk-Mode": "`batch`, or `rows; reason=…`."}
SAID = {
    "POST": "Create the object, or all of these; with `unique_fields`, what is there "
    "already is updated.",
    "PUT": "Replace the objects with these keys.",
    "PATCH": "Change of the objects with these keys what is said of each.",
    "DELETE": "Delete the objects with these keys.",
}
VERBS = {"POST": "create", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}


class BulkExtension(OpenApiViewExtension):
    target_class = "django_partstream.mixins.BulkOperationsMixin"
    match_subclasses = True

    def view_replacement(self) -> Any:
        schema = type("BulkSchema", (_Operation, type(self.target.schema)), {})

        return type(self.target.__name__, (self.target,), {"schema": schema()})


class _Operation:
    """What is special, for drf-spectacular's AutoSchema. An object's own address is as
    everywhere."""

    view: Any
    registry: Any
    method: str
    path: str

    def _is_collection(self) -> bool:
        name = self.view.lookup_url_kwarg or self.view.lookup_field

        return f"{{{name}}}" not in self.path and not self.view.detail

    def _writes_rows(self) -> bool:
        return self.method in VERBS and self._is_collection()

    def get_operation_id(self) -> str:
        name: str = super().get_operation_id()  # type: ignore[misc]

        if self._writes_rows() and self.method != "POST":
            base = name.removesuffix("_update").removesuffix("_partial")

            return f"{base.removesuffix('_destroy')}_bulk_{VERBS[self.method]}"

        return name

    def get_description(self) -> str:
        own = described(self.view, BulkOperationsMixin)
        what = SAID.get(self.method, "") if self._writes_rows() else ""

        return "\n\n".join(filter(None, (what, own)))

    def _get_parameters(self) -> list[Schema]:
        found: list[Schema] = super()._get_parameters()  # type: ignore[misc]

        if self.method == "GET" and self._is_collection():
            ids = query("ids", array_of(TEXT), "These, in this order.", explode=False)
            return [*found, {**ids, "style": "form"}]

        if not self._writes_rows():
            return found

        names = array_of(TEXT)
        upsert = [
            query(name, names, text, style="form", explode=False)
            for name, text in (
                ("unique_fields", "Create what has no such key yet, update the rest."),
                ("update_fields", "Of what is there, change only these."),
            )
        ]

        return [
            *found,
            *(upsert if self.method != "DELETE" else ()),
            header("Prefer", PREFER),
            header("Idempotency-Key", "Sent again with it, a request is done once."),
        ]

    def _get_request_body(self, direction: str = "request") -> Any:
        if not self._writes_rows():
            return super()._get_request_body(direction)  # type: ignore[misc]

        one = self._row("request")
        key = {"anyOf": [INTEGER, TEXT, {"type": "object"}]}
        many = array_of(key if self.method == "DELETE" else one)
        form = object_of(
            {
                "file": {"type": "string", "format": "binary"},
                "unique_fields": TEXT,
                "update_fields": TEXT,
            },
            required=["file"],
        )
        schemas = {
            JSON: {"oneOf": [one, many]} if self.method == "POST" else many,
            NDJSON: TEXT,
            "text/csv": TEXT,
            FORM: form,
        }

        return {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in schemas.items()},
        }

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Schema]:
        if not self._writes_rows():
            inherited = super()._get_response_bodies(direction)  # type: ignore[misc]

            return {**plain_errors(self.registry, *self._errors()), **inherited}

        status = "201" if self.method == "POST" else "200"
        answers = {
            status: response("What is stored now.", {JSON: self._stored()}, MODE),
            "202": accepted(self.registry),
            "207": response(
                "With `Prefer: handling=lenient`: counts, then each row.",
                {JSON: self._outcomes()},
                MODE,
            ),
        }

        if self.method == "POST":
            answers["200"] = response(
                "With `unique_fields`: what is stored.",
                {JSON: self._stored()},
                MODE,
            )

        errors = problems(
            self.registry, 400, 401, 403, 406, 409, 413, 415, 422, 429, 503
        )

        if self.method == "POST":
            # One object is refused as by plain DRF.
            errors |= plain_errors(self.registry, 400, 401, 403, 415)

        return {**dict(sorted(answers.items())), **errors}

    def _errors(self) -> tuple[int, ...]:
        if self.method == "GET":
            return (400, 401, 403, 404, 406)

        return (400, 401, 403, 404, 406, 415)

    def _row(self, direction: str) -> Schema:
        serializer = self.view.get_serializer()
        resolved = super().resolve_serializer(serializer, direction)  # type: ignore[misc]

        return dict(resolved.ref)

    def _stored(self) -> Schema:
        minimal = component(
            self.registry,
            "BulkCount",
            object_of({"message": TEXT, "count": INTEGER}),
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
        counts = ("created", "updated", "unchanged", "deleted", "failed")

        return component(
            self.registry,
            "BulkOutcome",
            object_of(
                {**dict.fromkeys(counts, INTEGER), "results": array_of(row)},
                required=counts,
            ),
        )
