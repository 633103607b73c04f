"""Settings of the tests; TEST_DATABASE chooses the database.

    TEST_DATABASE=sqlite        the default: a file, of this process or TEST_SQLITE_PATH
    TEST_DATABASE=postgresql    where PGHOST, PGPORT, PGUSER and PGPASSWORD say
    TEST_DATABASE=mariadb       where MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER and
                                MYSQL_PWD say

A process that a test starts with these settings finds the same SQLite file; on the
others a test has to tell it the name of the test database.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent


def _sqlite() -> dict[str, Any]:
    path = os.environ.get("TEST_SQLITE_PATH")

    if path is None:
        directory = tempfile.TemporaryDirectory(prefix="partstream-tests-")
        atexit.register(directory.cleanup)
        path = str(Path(directory.name) / "test.sqlite3")
        # For the processes that tests start.
        os.environ["TEST_SQLITE_PATH"] = path

    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
        # A file: in memory there are no second connections to get in the way.
        "TEST": {"NAME": path},
    }


def _postgresql() -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "partstream"),
        "USER": os.environ.get("PGUSER", ""),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
    }


def _mariadb() -> dict[str, Any]:
    options: dict[str, Any] = {"charset": "utf8mb4"}

    if importlib.util.find_spec("MySQLdb") is None:
        import pymysql

        # As which it passes for the mysqlclient that Django asks for.
        pymysql.install_as_MySQLdb()
        # It reads all certificates of the system for each connection: 0.2 s.
        options["ssl_disabled"] = True

    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": os.environ.get("MYSQL_DATABASE", "partstream"),
        "USER": os.environ.get("MYSQL_USER", ""),
        "PASSWORD": os.environ.get("MYSQL_PWD", ""),
        "HOST": os.environ.get("MYSQL_HOST", ""),
        "PORT": os.environ.get("MYSQL_TCP_PORT", ""),
        "OPTIONS": options,
        "TEST": {"CHARSET": "utf8mb4"},
    }


_DATABASES = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}
TEST_DATABASE = os.environ.get("TEST_DATABASE") or "sqlite"

if TEST_DATABASE not in _DATABASES:
    raise ImproperlyConfigured(
        f"TEST_DATABASE is {TEST_DATABASE!r}; expected one of "
        f"{', '.join(map(repr, _DATABASES))}."
    )

DATABASES = {"default": _DATABASES[TEST_DATABASE]()}
# Some views of the tests write row by row.
SILENCED_SYSTEM_CHECKS = ["partstream.I003"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECRET_KEY = "not-a-secret-these-are-the-tests"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
STATIC_URL = "/static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
#: Read by the example's URLconf.
DEMO_FULL = False

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "adrf",
    "channels",
    "drf_spectacular",
    "django_partstream",
    "tests.app",
    "asgi_example.flights",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "asgi_example" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
