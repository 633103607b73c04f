"""`manage.py check`: silent where all is well, and exact where something is not."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from django.middleware.gzip import GZipMiddleware
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from django_partstream import ProgressiveView
from tests.app.views import (
    AsyncShoutsViewSet,
    ContractViewSet,
    OwnedShoutsViewSet,
    ReadOnlyContractsViewSet,
)

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "django_partstream" / "checks"


class Dashboard(ProgressiveView):
    pass


def set_tenant(request: Any, connection: Any) -> None:
    pass


def set_everything() -> None:
    pass


def sync_only(get_response: Any) -> Any:
    return get_response


class EagerGZip(GZipMiddleware):
    """Compresses what it should not."""

    def process_response(self, request: Any, response: Any) -> Any:
        del response["Content-Encoding"]
        return super().process_response(request, response)


class JobsElsewhere:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "shop" if model._meta.app_label == "partstream" else None


PROGRESSIVE = [
    path("v1/", include([path("dashboard/", Dashboard.as_view())])),
]
BULK_ROUTER = SimpleRouter()
BULK_ROUTER.register("contracts", ContractViewSet, basename="contracts")
BULK = [path("api/", include(BULK_ROUTER.urls))]
JOB_ADDRESSES = [path("api/", include("django_partstream.urls"))]


def urlconf(*urlpatterns: Any) -> Any:
    module: Any = ModuleType("urlconf_of_a_test")
    module.urlpatterns = list(urlpatterns)

    return module


def said(identifier: str, message: str, hint: str) -> tuple[str, str, str]:
    return identifier, message, hint


def found(**options: Any) -> list[tuple[str, str, str | None]]:
    return [
        (str(message.id), message.msg, message.hint)
        for message in checks.run_checks(tags=["partstream"], **options)
        if not message.is_silenced()
    ]


@pytest.fixture
def shop(monkeypatch):
    """Add a database called `shop`, or change it."""

    def configure(**given: Any) -> None:
        if "shop" in connections.settings:
            del connections["shop"]

        configured = connections.configure_settings(
            {"default": {"ENGINE": "django.db.backends.dummy"}, "shop": given}
        )
        monkeypatch.setitem(connections.settings, "shop", configured["shop"])

    yield configure

    if "shop" in connections.settings:
        connections["shop"].close()
        del connections["shop"]


@pytest.fixture
def progressive(settings):
    settings.ROOT_URLCONF = urlconf(*PROGRESSIVE)


def test_this_project_is_silent():
    assert found() == []


def test_every_unknown_key_is_said_at_once(settings):
    settings.PARTSTREAM = {"THREDS": 4, "BATCHSIZE": 10}
    hint = "Correct PARTSTREAM in the settings."

    assert found() == [
        said(
            "partstream.E001",
            "PARTSTREAM has no key 'THREDS'. Did you mean 'THREADS'?",
            hint,
        ),
        said(
            "partstream.E001",
            "PARTSTREAM has no key 'BATCHSIZE'. Did you mean 'BATCH_SIZE'?",
            hint,
        ),
    ]


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        ("tests.test_checks.set_tenants", "does not define a"),
        ("tests.nowhere.set_tenant", "No module named 'tests.nowhere'"),
        ("set_tenant", "doesn't look like a module path"),
        ("tests.test_checks.set_everything", "too many positional arguments"),
        ("tests.test_checks.ROOT", "is not a callable object"),
    ],
)
def test_connection_setup_that_cannot_be_used(settings, setup, why):
    settings.PARTSTREAM = {"CONNECTION_SETUP": setup}
    ((identifier, message, hint),) = found()

    assert identifier == "partstream.E002"
    assert message.startswith(
        f"PARTSTREAM['CONNECTION_SETUP'] is {setup!r}, which cannot be used: "
    )
    assert why in message
    assert hint == (
        "Name a function of two arguments, for example 'shop.tenants.set_tenant' for "
        "def set_tenant(request, connection)."
    )


@pytest.mark.parametrize("setup", ["tests.test_checks.set_tenant", set_tenant, None])
def test_connection_setup_that_can_be_used_is_silent(settings, setup):
    settings.PARTSTREAM = {"CONNECTION_SETUP": setup}

    assert found() == []


STORAGE_HINT = (
    "Name a storage of its own in STORAGES, which no address serves and all hosts "
    "share; or leave INPUT_STORAGE out: inputs then go to the database."
)


def test_storage_for_inputs_that_is_not_there(settings):
    settings.PARTSTREAM = {"INPUT_STORAGE": "vault"}

    assert found() == [
        (
            "partstream.E003",
            (
                "PARTSTREAM['INPUT_STORAGE'] is 'vault', which cannot be used: Could "
                "not find config for 'vault' in settings.STORAGES."
            ),
            STORAGE_HINT,
        )
    ]


@pytest.mark.parametrize(("folder", "is_public"), [("media/a", True), ("b", False)])
def test_storage_for_inputs_that_everybody_reads(settings, tmp_path, folder, is_public):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.STORAGES = {
        **settings.STORAGES,
        "vault": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / folder},
        },
    }
    settings.PARTSTREAM = {"INPUT_STORAGE": "vault"}
    warning = (
        "partstream.W010",
        (
            "PARTSTREAM['INPUT_STORAGE'] is 'vault', whose files are in MEDIA_ROOT: "
            "whoever guesses a name there may read what others have uploaded."
        ),
        STORAGE_HINT,
    )

    assert found() == ([warning] if is_public else [])


def test_views_that_write_row_by_row_and_why(settings):
    router = SimpleRouter()
    router.register("contracts", ContractViewSet, basename="contracts")
    router.register("shouts", OwnedShoutsViewSet, basename="shouts")
    router.register("async-shouts", AsyncShoutsViewSet, basename="async-shouts")
    router.register("read", ReadOnlyContractsViewSet, basename="read")
    settings.ROOT_URLCONF = urlconf(path("api/", include(router.urls)), *JOB_ADDRESSES)
    settings.SILENCED_SYSTEM_CHECKS = []
    hint = (
        "Each row then takes statements of its own, under a savepoint. Receivers that "
        "need not hear of every row can be named in PARTSTREAM['IGNORE_RECEIVERS']; "
        "bulk_side_effects = 'skip' on the view leaves out what the model's saving or "
        "deleting does."
    )

    assert found() == [
        said(
            "partstream.I003",
            f"{view} {what} rows one by one: {view}.{hook}() is overridden.",
            hint,
        )
        for view, what, hook in [
            ("AsyncShoutsViewSet", "writes", "perform_acreate"),
            ("AsyncShoutsViewSet", "deletes", "perform_adestroy"),
            ("OwnedShoutsViewSet", "writes", "perform_create"),
        ]
    ]


def test_job_addresses_that_are_missing(settings):
    settings.ROOT_URLCONF = urlconf(*BULK)

    assert found() == [
        said(
            "partstream.W001",
            "The job addresses are not mounted; a bulk request to ContractViewSet that "
            "would become a job is refused.",
            'Add path("api/", include("django_partstream.urls")) to the URLconf.',
        )
    ]


@pytest.mark.parametrize("patterns", [[], PROGRESSIVE, BULK + JOB_ADDRESSES])
def test_project_that_needs_no_job_addresses_is_silent(settings, patterns):
    settings.ROOT_URLCONF = urlconf(*patterns)

    assert found() == []


def test_atomic_requests_do_not_hold_around_parts(progressive, shop):
    shop(ENGINE="django.db.backends.sqlite3", NAME="shop", ATOMIC_REQUESTS=True)

    assert found() == [
        said(
            "partstream.I001",
            "ATOMIC_REQUESTS is on for 'shop', but no transaction spans the parts of a "
            "progressive view: each has a connection of its own.",
            "Open transaction.atomic() inside the part that needs one.",
        )
    ]


def test_settings_of_older_packages_have_successors(settings):
    settings.BULK_DRF_CHUNK_SIZE = 100

    assert found() == [
        said(
            "partstream.I002",
            "BULK_DRF_CHUNK_SIZE is a setting of an older package.",
            "It counts while PARTSTREAM['BATCH_SIZE'] is not set. Write PARTSTREAM = "
            "{'BATCH_SIZE': 100} in its place.",
        )
    ]


@pytest.mark.parametrize("age", [60, None])
def test_persistent_connections_under_asgi(settings, progressive, shop, age):
    settings.PARTSTREAM = {"THREADS": 8}
    shop(ENGINE="django.db.backends.postgresql", NAME="shop", CONN_MAX_AGE=age)

    assert found() == [
        said(
            "partstream.W002",
            "CONN_MAX_AGE is set for 'shop'. Under ASGI the threads of requests come "
            "and go, and their connections stay open without them.",
            'Set CONN_MAX_AGE = 0; on PostgreSQL, OPTIONS = {"pool": {"max_size": 9}} '
            "keeps connections.",
        )
    ]


def test_persistent_connections_of_a_project_that_names_its_asgi_application(
    settings, shop
):
    settings.ROOT_URLCONF = urlconf()
    settings.ASGI_APPLICATION = "shop.asgi.application"
    shop(ENGINE="django.db.backends.postgresql", NAME="shop", CONN_MAX_AGE=60)

    assert [identifier for identifier, *_ in found()] == ["partstream.W002"]


@pytest.mark.parametrize(
    ("pool", "size"), [(True, 4), ({"max_size": 8}, 8), ({"min_size": 6}, 6)]
)
def test_pool_that_is_too_small(settings, progressive, shop, pool, size):
    settings.PARTSTREAM = {"THREADS": 8}
    shop(
        ENGINE="django.db.backends.postgresql",
        NAME="shop",
        OPTIONS={"pool": pool},
    )

    assert found() == [
        said(
            "partstream.W003",
            f"The connection pool of 'shop' has {size} connections, fewer than "
            "PARTSTREAM['THREADS'] + 1 = 9: sync parts wait for each other.",
            'Set OPTIONS["pool"] = {"max_size": 9} or more, or lower THREADS.',
        )
    ]


@pytest.mark.parametrize("pool", [{"max_size": 9}, {"min_size": 2, "max_size": 20}, {}])
def test_pool_that_is_large_enough_is_silent(settings, progressive, shop, pool):
    settings.PARTSTREAM = {"THREADS": 8}
    shop(
        ENGINE="django.db.backends.postgresql",
        NAME="shop",
        OPTIONS={"pool": pool},
    )

    assert found() == []


def test_sync_only_middleware(settings, progressive):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.test_checks.sync_only"]

    assert found() == [
        said(
            "partstream.W004",
            "Middleware that is sync-only: tests.test_checks.sync_only. Under ASGI "
            "every request through it holds a thread while its view runs, a page of "
            "slow parts for as long as they take.",
            "Use a version that is async_capable, or take it out of MIDDLEWARE.",
        )
    ]


def test_middleware_that_compresses_streams(settings, progressive):
    settings.MIDDLEWARE = ["tests.test_checks.EagerGZip", *settings.MIDDLEWARE]

    assert found() == [
        said(
            "partstream.W005",
            "tests.test_checks.EagerGZip compresses streams that say Content-Encoding: "
            "identity: each frame becomes a gzip member of its own, which many clients "
            "cannot read.",
            "Let it leave alone what has a Content-Encoding, as Django's "
            "GZipMiddleware does, or have a proxy compress pages.",
        )
    ]


@pytest.mark.parametrize("place", [0, -1])
def test_gzip_middleware_is_silent_wherever_it_stands(settings, progressive, place):
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(place, "django.middleware.gzip.GZipMiddleware")
    settings.MIDDLEWARE = middleware

    assert found() == []


SHARED = {"default": {"BACKEND": "shop.layers.SharedLayer"}}
IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.mark.parametrize(
    ("layers", "what"),
    [
        (IN_MEMORY, "The default channel layer stays within its process"),
        ({}, "There is no default channel layer"),
    ],
)
def test_channel_layer_within_one_process_of_several(settings, shop, layers, what):
    jobs_on_postgresql(settings, shop)
    settings.CHANNEL_LAYERS = layers
    settings.PARTSTREAM = {"REDIS_URL": "redis://localhost:6379/0"}

    assert found() == [
        said(
            "partstream.W006",
            f"{what}, but PARTSTREAM['QUEUE'] is 'arq': the progress of jobs reaches "
            "their followers only every POLL_SECONDS, and publish() reaches no other "
            "process.",
            'Set CHANNEL_LAYERS = {"default": {"BACKEND": '
            '"channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": '
            '["redis://localhost:6379/0"]}}}.',
        )
    ]


@pytest.mark.parametrize(
    ("count", "names"),
    [("2", ["partstream.W006", "partstream.W007"]), ("1", []), ("", []), ("two", [])],
)
def test_several_processes_that_serve_count_as_those_that_work(
    settings, shop, monkeypatch, count, names
):
    settings.DATABASE_ROUTERS = ["tests.test_checks.JobsElsewhere"]
    shop(ENGINE="django.db.backends.sqlite3", NAME="shop.sqlite3")
    settings.CHANNEL_LAYERS = IN_MEMORY
    settings.PARTSTREAM = {"QUEUE": "embedded"}
    monkeypatch.setenv("WEB_CONCURRENCY", count)

    messages = found()

    assert sorted(identifier for identifier, *_ in messages) == names
    assert all(
        "several" in text or "WEB_CONCURRENCY is 2" in text for _, text, _ in messages
    )


def test_channel_layer_of_several_processes_is_silent(settings, shop):
    jobs_on_postgresql(settings, shop)
    settings.PARTSTREAM = {"QUEUE": "database"}
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://localhost:6379/0"]},
        }
    }

    assert found() == []


def jobs_on_postgresql(settings, shop):
    settings.DATABASE_ROUTERS = ["tests.test_checks.JobsElsewhere"]
    shop(ENGINE="django.db.backends.postgresql", NAME="shop")


@pytest.fixture
def several_processes(settings):
    """Jobs in processes of their own, on the database `shop`."""
    settings.DATABASE_ROUTERS = ["tests.test_checks.JobsElsewhere"]
    settings.PARTSTREAM = {"QUEUE": "database"}
    settings.CHANNEL_LAYERS = SHARED


def test_sqlite_with_transactions_that_cannot_wait(several_processes, shop):
    shop(ENGINE="django.db.backends.sqlite3", NAME="shop.sqlite3")

    assert found() == [
        said(
            "partstream.W007",
            "'shop' is SQLite with DEFERRED transactions, and several processes write "
            "to it: one that turns from reading to writing fails with «database is "
            "locked» at once, whatever the timeout.",
            'Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL;"}.',
        )
    ]


def test_sqlite_with_transactions_that_wait_is_silent(several_processes, shop):
    shop(
        ENGINE="django.db.backends.sqlite3",
        NAME="shop.sqlite3",
        OPTIONS={"transaction_mode": "immediate"},
    )

    assert found() == []


def test_sqlite_journal_that_locks_readers_out(
    several_processes, shop, tmp_path, django_db_blocker
):
    options = {"transaction_mode": "IMMEDIATE"}
    shop(
        ENGINE="django.db.backends.sqlite3", NAME=tmp_path / "shop.db", OPTIONS=options
    )

    with django_db_blocker.unblock():
        assert found(databases=["shop"]) == [
            said(
                "partstream.W008",
                "'shop' is SQLite with the journal mode 'delete', and several "
                "processes use it: a batch of a job locks every reader out.",
                'Set OPTIONS = {"init_command": "PRAGMA journal_mode=WAL;"}.',
            )
        ]

        options["init_command"] = "PRAGMA journal_mode=WAL;"
        connections["shop"].close()
        shop(
            ENGINE="django.db.backends.sqlite3",
            NAME=tmp_path / "shop.db",
            OPTIONS=options,
        )

        assert found(databases=["shop"]) == []


def test_more_connections_than_the_server_allows(
    settings, progressive, shop, monkeypatch, postgresql_server, django_db_blocker
):
    settings.PARTSTREAM = {"THREADS": 8}
    settings.CHANNEL_LAYERS = SHARED
    monkeypatch.setenv("WEB_CONCURRENCY", "20")
    shop(
        ENGINE="django.db.backends.postgresql",
        NAME=postgresql_server.database,
        USER=postgresql_server.user,
        HOST=postgresql_server.host,
        PORT=postgresql_server.port,
    )

    with django_db_blocker.unblock():
        assert found(databases=["shop"]) == [
            said(
                "partstream.W009",
                "20 processes of PARTSTREAM['THREADS'] + 1 = 9 connections may open "
                "180 to 'shop'; its server allows 97.",
                "Lower THREADS, raise max_connections, or put PgBouncer or the like "
                "between them.",
            )
        ]

        monkeypatch.setenv("WEB_CONCURRENCY", "10")

        assert found(databases=["shop"]) == []


def test_plain_wsgi_project_is_never_nagged(settings, shop):
    settings.ROOT_URLCONF = urlconf(*BULK, *JOB_ADDRESSES)
    settings.MIDDLEWARE = ["tests.test_checks.sync_only", "tests.test_checks.EagerGZip"]
    shop(
        ENGINE="django.db.backends.postgresql",
        NAME="shop",
        ATOMIC_REQUESTS=True,
        CONN_MAX_AGE=600,
        OPTIONS={"pool": True},
    )

    assert found() == []


def test_project_without_a_urlconf_is_not_ours_to_judge(settings):
    del settings.ROOT_URLCONF

    assert found() == []


def test_error_stops_a_command_and_a_silenced_one_does_not(settings, capsys):
    settings.PARTSTREAM = {"CONNECTION_SETUP": "nowhere.at_all"}

    with pytest.raises(SystemCheckError, match=r"partstream\.E002"):
        call_command("check")

    settings.SILENCED_SYSTEM_CHECKS = ["partstream.E002"]
    settings.ROOT_URLCONF = urlconf(*BULK, *JOB_ADDRESSES)
    call_command("check")

    assert capsys.readouterr().out == (
        "System check identified no issues (1 silenced).\n"
    )


def test_document_lists_every_check_with_its_level():
    sources = "".join(file.read_text() for file in SOURCE.glob("*.py"))
    document = (ROOT / "docs" / "checks.md").read_text()
    listed = re.findall(r"^\| `(partstream\.[EWI]\d{3})` \|", document, re.MULTILINE)

    assert listed == sorted(set(re.findall(r"partstream\.[EWI]\d{3}", sources)))


def test_every_check_has_a_test_with_its_message():
    sources = "".join(file.read_text() for file in SOURCE.glob("*.py"))
    tests = Path(__file__).read_text()

    for identifier in set(re.findall(r"partstream\.[EWI]\d{3}", sources)):
        assert f'"{identifier}",\n' in tests or f'== "{identifier}"' in tests
