"""Requests as the older documents' curl commands make them, and their jobs' ends."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job
from tests.app.models import Contract

JSON = "application/json"


def ask(
    client: Client,
    method: str,
    url: str,
    body: Any = None,
    *,
    content_type: str = JSON,
    **headers: str,
) -> Any:
    """The response; `body` is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    return client.generic(
        method,
        url,
        b"" if body is None else data,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def run(response: Any) -> Job:
    """The job of this answer, when it has run."""
    assert response.status_code == 202, response.content
    job = Job.objects.get(pk=response.json()["task_id"])
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )
    job.refresh_from_db()

    return job


def status_of(client: Client, response: Any) -> Any:
    """What its status says when the job of this answer has run."""
    run(response)

    return client.get(response.json()["status_url"]).json()


def contracts(count: int = 3, **values: Any) -> list[Contract]:
    return [
        Contract.objects.create(number=f"C{n:03}", year=2000 + n % 20, **values)
        for n in range(count)
    ]


def years() -> dict[str, int]:
    return dict(Contract.objects.order_by("number").values_list("number", "year"))
