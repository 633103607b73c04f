"""Settings of the servers that are sent rows. BENCH_PEER names the package that is
measured beside ours, if it is there."""

from __future__ import annotations

import os

from .settings import *  # noqa: F403 - the same, and more
from .settings import INSTALLED_APPS as COMMON
from .settings import REST_FRAMEWORK as STOCK

ROOT_URLCONF = "benchmarks.apps.ledger.urls"
INSTALLED_APPS = [*COMMON, "benchmarks.apps.ledger"]
MIDDLEWARE = ["benchmarks.apps.ledger.counting.count_statements"]
REST_FRAMEWORK = {
    # Peers ask it who it is.
    **STOCK,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 30

# In this process, without a queue: the work that a task would be.
CELERY_TASK_ALWAYS_EAGER = True
BULK_DRF = {"MAX_BATCH_SIZE": 1_000_000}

if os.environ.get("BENCH_PEER") == "bulk-drf-0.2.91":
    INSTALLED_APPS.append("django_bulk_drf")
