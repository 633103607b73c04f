"""The addresses of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiViewExtension

from django_partstream.jobs.progress import STATUS
from django_partstream.models import State

from .frames import job_frames_of
from .pieces import (
    ANYTHING,
    INTEGER,
    JSON,
    NDJSON,
    SSE,
    TEXT,
    array_of,
    component,
    header,
    object_of,
    problems,
    query,
    response,
)

if TYPE_CHECKING:
    from .pieces import Schema

__all__ = (
    "EventsExtension",
    "JobListExtension",
    "ResultsExtension",
    "RetryExtension",
    "StatusExtension",
    "accepted",
)

NUMBER_OR_NULL: Schema = {"type": "number", "nullable": True}
FLAG: Schema = {"type": "boolean"}
ADDRESSES = ("status_url", "events_url", "results_url")


def accepted(registry: Any) -> Schema:
    """202: the request has become a job."""
    body = component(
        registry,
        "JobAccepted",
        object_of(
            {
                "message": TEXT,
                "task_id": TEXT,
                "total_items": INTEGER,
                **dict.fromkeys(ADDRESSES, TEXT),
            }
        ),
    )

    return response(
        "It has become a job.",
        {JSON: body},
        {"Location": "Its status.", "Retry-After": "Seconds."},
    )


def job(registry: Any) -> Schema:
    """A job's status."""
    ids = ("created", "updated", "deleted")
    counts = ("created", "updated", "unchanged", "deleted")
    progress = object_of(
        {
            "current": INTEGER,
            "total": INTEGER,
            "percentage": {"type": "number"},
            "rows_per_second": NUMBER_OR_NULL,
            "eta_seconds": NUMBER_OR_NULL,
            "message": TEXT,
        }
    )
    result = object_of(
        {
            "operation_type": TEXT,
            "total_items": INTEGER,
            "success_count": INTEGER,
            "error_count": INTEGER,
            **{f"{name}_count": INTEGER for name in counts},
            **{f"{name}_ids": array_of(ANYTHING) for name in ids},
            **{f"{name}_ids_truncated": FLAG for name in ids},
            "errors": array_of({"type": "object"}),
            "errors_truncated": FLAG,
        }
    )
    words = dict.fromkeys(str(word) for word in STATUS.values())

    return component(
        registry,
        "Job",
        object_of(
            {
                "task_id": TEXT,
                "state": {**TEXT, "enum": [state.value for state in State]},
                "status": {**TEXT, "enum": list(words)},
                "message": TEXT,
                "code": TEXT,
                "progress": progress,
                "result": result,
                "seq": INTEGER,
                **dict.fromkeys(ADDRESSES, TEXT),
            },
            required=["task_id", "state", "status", "progress", "result", "seq"],
        ),
    )


class _JobExtension(OpenApiViewExtension):
    """A view of jobs, whose operations are told by `bodies`."""

    operation: type

    def view_replacement(self) -> Any:
        schema = type("JobSchema", (self.operation, type(self.target.schema)), {})

        return type(self.target.__name__, (self.target,), {"schema": schema()})


class _Operation:
    registry: Any
    method: str

    def get_request_serializer(self) -> None:
        return None

    def get_response_serializers(self) -> None:
        return None

    def _get_parameters(self) -> list[Schema]:
        inherited: list[Schema] = super()._get_parameters()  # type: ignore[misc]
        own = self.parameters()
        names = {one["name"] for one in own}

        return [*(one for one in inherited if one["name"] not in names), *own]

    def parameters(self) -> list[Schema]:
        return []

    def _get_request_body(self, direction: str = "request") -> None:
        return None

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Schema]:
        return {**self.answers(), **problems(self.registry, 400, 401, 403, 404, 406)}

    def answers(self) -> dict[str, Schema]:
        raise NotImplementedError


class _Status(_Operation):
    def parameters(self) -> list[Schema]:
        if self.method != "GET":
            return []

        return [
            header("Prefer", "`wait=10`: answer when something has changed."),
            header("If-None-Match", "The ETag of the status that is known."),
        ]

    def answers(self) -> dict[str, Schema]:
        found = {JSON: job(self.registry)}

        if self.method == "GET":
            return {
                "200": response("How far it is.", found, {"ETag": "Its `seq`."}),
                "304": response("Nothing has changed."),
            }

        return {
            "200": response("It is over: no further row is written.", found),
            "202": response("A batch holds on; it ends after that.", found),
        }


class _Events(_Operation):
    def parameters(self) -> list[Schema]:
        return [
            query("format", {**TEXT, "enum": ["json", "ndjson", "sse"]}, "Over Accept.")
        ]

    def answers(self) -> dict[str, Schema]:
        status = job(self.registry)
        frames = job_frames_of(status, self.registry)

        return {
            "200": response(
                "Frames until it ends; as JSON its status.",
                {JSON: status, NDJSON: frames, SSE: ANYTHING},
            ),
            "204": response("With `Last-Event-ID: done`: everything was sent."),
            **problems(self.registry, 429),
        }


class _Results(_Operation):
    def parameters(self) -> list[Schema]:
        outcomes = ["failed", "successful", "unprocessed"]

        return [
            query("outcome", {**TEXT, "enum": outcomes}, "Else the failed ones."),
            query("format", {**TEXT, "enum": ["ndjson", "csv"]}, "Over Accept."),
        ]

    def answers(self) -> dict[str, Schema]:
        row = component(
            self.registry,
            "JobRow",
            object_of(
                {
                    "row": INTEGER,
                    "line": {**INTEGER, "nullable": True},
                    "outcome": TEXT,
                    "pk": ANYTHING,
                    "data": ANYTHING,
                    "errors": array_of(ANYTHING),
                },
                required=["row", "outcome"],
            ),
        )

        return {
            "200": response(
                "Its rows in input order; the CSV can be corrected and sent again.",
                {NDJSON: row, "text/csv": TEXT},
            )
        }


class _List(_Operation):
    def _is_list_view(self, serializer: Any = None) -> bool:
        return True

    def answers(self) -> dict[str, Schema]:
        jobs = object_of({"count": INTEGER, "results": array_of(job(self.registry))})

        return {
            "200": response(
                "The caller's jobs, the newest first.",
                {JSON: component(self.registry, "JobList", jobs)},
            )
        }

    def _get_parameters(self) -> list[Schema]:
        return [one for one in super()._get_parameters() if one["name"] != "page"]

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Schema]:
        return {**self.answers(), **problems(self.registry, 401, 403, 406)}


class _Retry(_Operation):
    def answers(self) -> dict[str, Schema]:
        return {"202": accepted(self.registry), **problems(self.registry, 409, 429)}


class StatusExtension(_JobExtension):
    target_class = "django_partstream.operation_views.OperationStatusView"
    match_subclasses = True
    operation = _Status


class EventsExtension(_JobExtension):
    target_class = "django_partstream.operation_views.OperationEventsView"
    match_subclasses = True
    operation = _Events


class ResultsExtension(_JobExtension):
    target_class = "django_partstream.operation_views.OperationResultsView"
    match_subclasses = True
    operation = _Results


class JobListExtension(_JobExtension):
    target_class = "django_partstream.operation_views.OperationListView"
    match_subclasses = True
    operation = _List


class RetryExtension(_JobExtension):
    target_class = "django_partstream.operation_views.OperationRetryView"
    match_subclasses = True
    operation = _Retry
