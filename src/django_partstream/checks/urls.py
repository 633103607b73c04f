"""Checks of the URLconf."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.urls import NoReverseMatch, reverse

from . import project

__all__ = ("check_job_addresses",)


def check_job_addresses(**_: Any) -> list[CheckMessage]:
    """A project that takes bulk requests can say where their jobs are."""
    from django_partstream import mixins  # needs the models

    ours = tuple(getattr(mixins, name) for name in mixins.__all__)
    views = sorted(
        cls.__qualname__ for cls in project.view_classes() if issubclass(cls, ours)
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
