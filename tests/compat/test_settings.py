"""The flat settings of the older packages: each name of their documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.test import Client

from django_partstream import conf, legacy, time_limit, upserts
from tests.app.models import Contract

from .asking import ask, contracts, years

#: As the documents show them.
DOCUMENTED = {
    "CHUNK_SIZE": 100,
    "MAX_RECORDS": 10000,
    "BATCH_SIZE": 1000,
    "CACHE_TIMEOUT": 86400,
    "PROGRESS_UPDATE_INTERVAL": 10,
    "QUERY_TIMEOUT": 300,
    "SYNC_UPSERT_MAX_ITEMS": 50,
    "SYNC_UPSERT_BATCH_SIZE": 1000,
    "SYNC_UPSERT_TIMEOUT": 30,
    "USE_OPTIMIZED_TASKS": True,
    "AUTO_OPTIMIZE_QUERIES": True,
    "ENABLE_METRICS": False,
}
PREFIXES = ("BULK_DRF_", "DRF_EXT_")


def test_every_documented_name_is_known() -> None:
    assert legacy.OLD.keys() == DOCUMENTED.keys()
    assert legacy.PREFIXES == PREFIXES


@pytest.mark.parametrize("prefix", PREFIXES)
def test_all_of_them_together_are_the_settings_that_they_mean(
    settings: Any, prefix: str
) -> None:
    for name, value in DOCUMENTED.items():
        setattr(settings, prefix + name, value)

    found = conf.current()

    assert found.batch_size == 100
    assert found.max_rows == 10000
    assert found.result_ttl_seconds == 86400
    assert found.query_timeout_seconds == 300
    assert found.upsert_max_rows == 50
    assert found.upsert_timeout_seconds == 30
    assert found.sync_max_rows == conf.Settings().sync_max_rows


@pytest.mark.parametrize(
    ("old", "key", "value"),
    [
        ("CHUNK_SIZE", "batch_size", 77),
        ("BATCH_SIZE", "batch_size", 500),
        ("MAX_RECORDS", "max_rows", 5),
        ("CACHE_TIMEOUT", "result_ttl_seconds", 60),
        ("QUERY_TIMEOUT", "query_timeout_seconds", 2.5),
        ("SYNC_UPSERT_MAX_ITEMS", "upsert_max_rows", 3),
        ("SYNC_UPSERT_TIMEOUT", "upsert_timeout_seconds", 7),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_counts_until_partstream_says_otherwise(
    settings: Any, prefix: str, old: str, key: str, value: Any
) -> None:
    setattr(settings, prefix + old, value)
    before = getattr(conf.current(), key)
    settings.PARTSTREAM = {key.upper(): value + 1}

    assert before == value
    assert getattr(conf.current(), key) == value + 1


def test_of_two_packages_the_newer_counts(settings: Any) -> None:
    settings.DRF_EXT_MAX_RECORDS = 1
    settings.BULK_DRF_MAX_RECORDS = 2

    assert conf.current().max_rows == 2


def test_of_two_sizes_of_batches_neither_is_overstepped(settings: Any) -> None:
    settings.BULK_DRF_CHUNK_SIZE = 5000
    settings.BULK_DRF_BATCH_SIZE = 2000

    assert conf.current().batch_size == 2000


def test_a_wrong_value_is_said_by_its_own_name(settings: Any) -> None:
    settings.DRF_EXT_CHUNK_SIZE = "many"

    with pytest.raises(ImproperlyConfigured) as caught:
        conf.current()

    assert str(caught.value) == (
        "DRF_EXT_CHUNK_SIZE is 'many'; expected a whole number above zero."
    )


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_check_names_the_successor_or_says_that_none_is_needed(
    settings: Any, prefix: str, name: str
) -> None:
    setattr(settings, prefix + name, DOCUMENTED[name])

    (found,) = [m for m in run_checks(tags=["partstream"]) if m.id == "partstream.I002"]

    assert found.msg == f"{prefix}{name} is a setting of an older package."
    key = legacy.OLD[name].key

    if key is None:
        assert found.hint == legacy.OLD[name].instead
        assert "needed" in found.hint or "contrib.prometheus" in found.hint
    else:
        assert key in conf.NAMES
        assert found.hint == (
            f"It counts while PARTSTREAM['{key}'] is not set. Write PARTSTREAM = "
            f"{{'{key}': {DOCUMENTED[name]!r}}} in its place."
        )


def test_no_older_setting_no_message() -> None:
    assert "partstream.I002" not in {m.id for m in run_checks(tags=["partstream"])}


@pytest.mark.django_db
def test_the_bounds_of_upserts_take_effect(client: Client, settings: Any) -> None:
    settings.DRF_EXT_SYNC_UPSERT_MAX_ITEMS = 2
    url = "/api/contracts/upsert/?unique_fields=number"
    rows = [{"number": f"N{n}", "year": n} for n in range(3)]

    refused = ask(client, "POST", url, rows)
    taken = ask(client, "POST", url, rows[:2])

    assert refused.json()["limit"] == 2
    assert taken.status_code == 200


@pytest.mark.django_db
def test_the_batches_of_upserts_take_effect(
    client: Client, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.BULK_DRF_SYNC_UPSERT_BATCH_SIZE = 1
    rows = [{"number": f"N{n}", "year": n} for n in range(4)]

    response = ask(client, "POST", "/api/contracts/upsert/?unique_fields=number", rows)

    assert response.json()["created_ids"] == sorted(response.json()["created_ids"])
    assert upserts.NOW.batch_size() == 1
    assert years() == {"N0": 0, "N1": 1, "N2": 2, "N3": 3}


@pytest.mark.django_db
def test_an_upsert_that_takes_too_long_writes_nothing(
    client: Client, settings: Any
) -> None:
    settings.BULK_DRF_SYNC_UPSERT_TIMEOUT = 1e-9
    rows = [{"number": "N", "year": 1}]

    response = ask(client, "POST", "/api/contracts/upsert/?unique_fields=number", rows)

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert response.json()["code"] == "query_timeout"
    assert response.json()["detail"] == (
        "This took longer than 1e-09 s; nothing was written."
    )
    assert years() == {}


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_too_long_is_ended() -> None:
    sleep = {
        "postgresql": "SELECT pg_sleep(20)",
        "mysql": "SELECT SLEEP(20)",
    }.get(connection.vendor)

    if sleep is None:
        # SQLite knows no such limit, and is left alone.
        with transaction.atomic(), time_limit.limited("default", 0.2):
            assert not Contract.objects.exists()

        return

    def ask_long() -> None:
        with transaction.atomic(), time_limit.limited("default", 0.2):
            connection.cursor().execute(sleep)

    with pytest.raises(DatabaseError) as caught:
        ask_long()

    assert time_limit.was_exceeded(caught.value)

    # And whoever has the connection next is not limited by it.
    with connection.cursor() as cursor:
        cursor.execute(sleep.replace("20", "0.4"))


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_the_limit_of_a_statement_holds_for_bulk_requests_and_is_taken_back(
    client: Client, settings: Any
) -> None:
    settings.DRF_EXT_QUERY_TIMEOUT = 30
    (row,) = contracts(1)

    response = ask(client, "PATCH", "/api/contracts/", [{"id": row.pk, "year": 5}])

    assert response.status_code == 200, response.content
    assert years() == {"C000": 5}

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            assert cursor.fetchone() == ("0",)


def test_metrics_are_enabled_where_they_were() -> None:
    code = (
        "import json, django; from django.conf import settings; "
        "import tests.settings as ours; "
        "settings.configure(**{k: getattr(ours, k) for k in dir(ours) if k.isupper()}, "
        "DRF_EXT_ENABLE_METRICS=True); django.setup(); "
        "from prometheus_client import REGISTRY; "
        "print(json.dumps([m.name for m in REGISTRY.collect()]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert "partstream_parts" in json.loads(done.stdout)
