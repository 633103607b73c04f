"""Our views in a schema of OpenAPI, by drf-spectacular.

Importing this is all: it makes known to drf-spectacular what is special in our views.
Where `drf_spectacular` is in INSTALLED_APPS, `django_partstream` does it by itself.
"""

from __future__ import annotations

from .bulk import BulkExtension
from .jobs import (
    EventsExtension,
    JobListExtension,
    ResultsExtension,
    RetryExtension,
    StatusExtension,
)
from .progressive import ProgressiveExtension

__all__ = (
    "BulkExtension",
    "EventsExtension",
    "JobListExtension",
    "ProgressiveExtension",
    "ResultsExtension",
    "RetryExtension",
    "StatusExtension",
)
