"""System checks: configuration that cannot work, said before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from . import conf

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("check_settings", "check_urls")


@checks.register("partstream")
def check_settings(
    app_configs: Sequence[Any] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """`PARTSTREAM` can be read."""
    try:
        conf.current()
    except ImproperlyConfigured as error:
        return [
            checks.Error(
                str(error),
                hint="Correct PARTSTREAM in the settings.",
                id="partstream.E001",
            )
        ]

    return []


@checks.register("partstream", "urls")
def check_urls(
    app_configs: Sequence[Any] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """The status addresses of jobs are mounted."""
    try:
        reverse("partstream:operation-list")
    except NoReverseMatch:
        return [
            checks.Warning(
                "The job addresses are not mounted; a bulk request that would become "
                "a job is refused.",
                hint='Add path("api/", include("django_partstream.urls")) to the '
                "URLconf.",
                id="partstream.W001",
            )
        ]
    except ImproperlyConfigured:
        # No ROOT_URLCONF: Django's own checks say so.
        return []

    return []
