"""Checks of the URLconf."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.urls import NoReverseMatch, reverse

from . import project

__all__ = ("check_job_addresses",)


def check_job_addresses(**_: Any) -> list[CheckMessage]:
    """A project that takes bulk requests can say where their jobs are."""
    views = sorted(
        cls.__qualname__ for cls in project.view_classes() if _makes_jobs(cls)
    )

    if not views:
        return []

    try:
        reverse("partstream:operation-list")
    except NoReverseMatch:
        return [
            Warning(
                f"The job addresses are not mounted; a bulk request to {views[0]} "
                "that would become a job is refused.",
                hint='Add path("api/", include("django_partstream.urls")) to the '
                "URLconf.",
                id="partstream.W001",
            )
        ]

    return []


def _makes_jobs(cls: type[Any]) -> bool:
    """Whether requests to this view may become jobs: not those for upserts alone."""
    from django_partstream import bulk_view, mixins  # need the models

    if not issubclass(cls, bulk_view.BulkView) or not cls.jobs:
        return False

    return issubclass(cls, mixins.BulkOperationsMixin) or any(
        path != "upsert" for path in cls.methods_of_addresses()
    )
