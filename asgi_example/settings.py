"""Settings of the example.

Out of the box: SQLite, jobs inside the ASGI process, no login. The environment
turns on the rest, each variable one thing:

    DEMO_FULL=1                 users, login, jobs that belong to their creator
    DEMO_DATABASE=postgresql    PostgreSQL, where PGHOST, PGPORT, PGUSER,
                                PGPASSWORD and PGDATABASE say
    DEMO_REDIS_URL=redis://…    jobs on arq workers, progress across processes
    DEMO_DB_PATH=…              another SQLite file than var/demo.sqlite3
    DEMO_DEBUG=1                debug answers
    DEMO_ALLOWED_HOSTS=a,b      other hosts than this machine
    DEMO_SECRET_KEY=…           another key than the published one
    DEMO_PARTSTREAM={…}         keys of PARTSTREAM, as JSON
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent


def _flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name, "").lower()
    return default if value == "" else value not in {"0", "false", "no", "off"}


def _database() -> dict[str, Any]:
    engine = os.environ.get("DEMO_DATABASE") or "sqlite"

    if engine == "postgresql":
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("PGDATABASE", "partstream"),
            "USER": os.environ.get("PGUSER", ""),
            "PASSWORD": os.environ.get("PGPASSWORD", ""),
            "HOST": os.environ.get("PGHOST", ""),
            "PORT": os.environ.get("PGPORT", ""),
        }

    if engine != "sqlite":
        raise ImproperlyConfigured(
            f"DEMO_DATABASE is {engine!r}; expected 'sqlite' or 'postgresql'."
        )

    path = os.environ.get("DEMO_DB_PATH")
    name = Path(path) if path else BASE_DIR.parent / "var" / "demo.sqlite3"
    name.parent.mkdir(parents=True, exist_ok=True)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(name),
        "OPTIONS": {
            # A deferred transaction that turns from reading to writing fails with
            # "database is locked" at once, whatever the timeout. These wait.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


DEMO_FULL = _flag("DEMO_FULL", default=False)
# Off, since with it Django keeps the text of every statement, with thousands of rows.
DEBUG = _flag("DEMO_DEBUG", default=False)
REDIS_URL = os.environ.get("DEMO_REDIS_URL") or None

# Known to everybody: good enough for a demo that only this machine can reach.
SECRET_KEY = os.environ.get("DEMO_SECRET_KEY") or "not-a-secret-this-is-the-demo"
ALLOWED_HOSTS = (
    os.environ.get("DEMO_ALLOWED_HOSTS") or "localhost,127.0.0.1,[::1]"
).split(",")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "django_partstream",
    "asgi_example.flights",
]

#: A schema of OpenAPI at /api/schema/, where drf-spectacular is installed.
HAS_SCHEMA = importlib.util.find_spec("drf_spectacular") is not None

if HAS_SCHEMA:
    INSTALLED_APPS.append("drf_spectacular")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "asgi_example.urls"
ASGI_APPLICATION = "asgi_example.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"

LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": (
        {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 100,
    # Tokens first: DRF answers 401 for the first class that has a challenge, and
    # sessions have none.
    "DEFAULT_AUTHENTICATION_CLASSES": (
        [
            "rest_framework.authentication.TokenAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ]
        if DEMO_FULL
        else []
    ),
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated"
        if DEMO_FULL
        else "rest_framework.permissions.AllowAny"
    ],
}

if HAS_SCHEMA:
    REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"] = "drf_spectacular.openapi.AutoSchema"

SPECTACULAR_SETTINGS = {
    "TITLE": "A year of flights",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
}

PARTSTREAM: dict[str, Any] = {
    **({"REDIS_URL": REDIS_URL} if REDIS_URL else {}),
    **json.loads(os.environ.get("DEMO_PARTSTREAM") or "{}"),
}
