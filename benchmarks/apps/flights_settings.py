"""Settings of the servers and workers that load flights: jobs as they are by default.
BENCH_QUEUE and BENCH_REDIS say where they run."""

from __future__ import annotations

import os

from .settings import *  # noqa: F403 - the same, and more
from .settings import INSTALLED_APPS as COMMON

ROOT_URLCONF = "benchmarks.apps.flights_urls"
INSTALLED_APPS = [*COMMON, "asgi_example.flights"]
PARTSTREAM = {
    "QUEUE": os.environ.get("BENCH_QUEUE", "database"),
    "REDIS_URL": os.environ.get("BENCH_REDIS"),
}
