"""Settings of the Django servers: nothing that is not measured.

BENCH_SQLITE names the database's file; without it PostgreSQL is where libpq looks.
"""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "not-a-secret-this-is-a-benchmark"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.apps.urls"
USE_TZ = True
MIDDLEWARE: list[str] = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "adrf",
    "channels",
    "django_partstream",
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": (
        {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_SQLITE"],
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        }
        if "BENCH_SQLITE" in os.environ
        else {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("PGDATABASE", ""),
            "USER": os.environ.get("PGUSER", ""),
            "HOST": os.environ.get("PGHOST", ""),
            "PORT": os.environ.get("PGPORT", ""),
        }
    )
}

_REDIS = os.environ.get("BENCH_REDIS", "")
_LAYERS: dict[str, dict[str, Any]] = {
    "memory": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        "CONFIG": {"capacity": 5000},
    },
    "core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [_REDIS], "capacity": 5000},
    },
    "pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_REDIS]},
    },
}
CHANNEL_LAYERS = {"default": _LAYERS[os.environ.get("BENCH_LAYER", "memory")]}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}

PARTSTREAM: dict[str, Any] = {
    # Nobody looks for jobs while other things are measured.
    "QUEUE": "database",
    # Whatever a benchmark waits for is what it measures.
    "STREAMS_PER_USER": 100_000,
    "STREAM_DEADLINE_SECONDS": 3600.0,
    "HEARTBEAT_SECONDS": 3600.0,
    "POLL_SECONDS": 3600.0,
    "MAX_PARTS": 200,
    "MAX_CHUNK_SIZE": 200,
    "CHUNK_SIZE": 200,
}
