"""Eighteen things that comparable packages get wrong, by number, and one test of each.

Most of them are the subject of a whole file elsewhere; here they are together.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from django_partstream import ProgressiveView, lazy
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job
from django_partstream.parts.cache_key import cache_key
from tests.app.models import Account, Contract, Product

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "secret-of-bob"


def signed_in(name: str) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.get_or_create(username=name)[0])

    return client


def ask(client: Client, method: str, url: str, rows: Any, prefer: str = "") -> Any:
    body = rows if isinstance(rows, str) else json.dumps(rows)
    kind = "text/csv" if isinstance(rows, str) else "application/json"
    headers = {"Prefer": prefer} if prefer else {}

    return client.generic(method, url, body, content_type=kind, headers=headers)


def contracts(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"number": f"C{n:03}", "year": 2000 + n, **more} for n in range(count)]


def test_1_they_write_past_get_queryset() -> None:
    theirs = Product.objects.create(code="T", serial=1, tenant=SECRET)
    client = signed_in("ann")

    for method, row in (
        ("PATCH", {"id": theirs.pk, "price": 9}),
        ("DELETE", theirs.pk),
    ):
        response = ask(client, method, "/api/our-products/", [row])
        assert response.json()["rows"][0]["errors"][0]["code"] == "does_not_exist"

    theirs.refresh_from_db()
    assert theirs.price == 0


def test_2_they_show_and_cancel_anybodys_jobs() -> None:
    owner, other = signed_in("ann"), signed_in("bob")
    url = "/api/contracts/"
    said = ask(owner, "POST", url, contracts(1), "respond-async").json()

    for name in ("status", "events", "results"):
        assert other.get(said[f"{name}_url"]).status_code == 404

    assert other.delete(said["status_url"]).status_code == 404
    unknown = said["status_url"].replace(said["task_id"], str(UUID(int=1)))
    assert owner.get(unknown).status_code == 404
    assert owner.get(said["status_url"]).status_code == 200


@pytest.mark.parametrize("names", ["account__name", "pk__in", "year", "password", ""])
def test_3_they_let_clients_write_paths_of_the_orm(names: str) -> None:
    url = f"/api/contracts/?unique_fields={names}"
    response = ask(Client(), "PATCH", url, contracts(1))

    assert response.status_code == 400
    problem = response.json()
    assert problem["code"] == "invalid_unique_fields"
    assert problem["allowed"] == [["id"], ["number"]]


def test_4_they_pass_on_the_databases_words() -> None:
    Product.objects.create(code="A", serial=1)
    rows = [{"code": "B", "serial": 2, "price": -1}]

    said = ask(Client(), "POST", "/api/products/", rows).content.decode()

    assert json.loads(said)["rows"][0]["errors"] == [
        {
            "pointer": "",
            "code": "invalid",
            "detail": "This row has a value that cannot be stored.",
        }
    ]
    for word in ("price_not_negative", "app_product", "CHECK", "constraint"):
        assert word.lower() not in said.lower()


def test_5_their_cursors_are_bound_to_nothing() -> None:
    ann, bob = signed_in("ann"), signed_in("bob")
    cursor = ann.get("/private/?chunk_size=1").json()["cursor"]

    assert ann.get("/private/", {"cursor": cursor}).json()["results"] == [{"more": 1}]

    for client, address in ((bob, "/private/"), (ann, "/shop/")):
        refused = client.get(address, {"cursor": cursor})
        assert (refused.status_code, refused.json()["code"]) == (400, "cursor_invalid")


def test_6_their_queries_grow_with_the_rows() -> None:
    account = Account.objects.create(name="a")

    def queries(rows: Any) -> int:
        with CaptureQueriesContext(connection) as context:
            response = ask(Client(), "POST", "/api/contracts/", rows, "return=minimal")
            assert response.status_code == 201

        return len(context)

    few, many = contracts(3, account=account.pk), contracts(60, account=account.pk)
    many = [{**row, "number": f"M{row['number']}"} for row in many]

    if connection.vendor == "mysql":
        pytest.skip("without RETURNING a row that is new is a statement")

    assert queries(few) == queries(many)


def test_7_their_errors_are_the_first_one_as_text() -> None:
    body = "number,year\nA,1\nB,x\n\nC,\n" + "D" * 30 + ",4\n"

    problem = ask(Client(), "POST", "/api/contracts/", body).json()

    assert [
        (row["row"], row["line"], row["errors"][0]["pointer"], row["errors"][0]["code"])
        for row in problem["rows"]
    ] == [
        (2, 3, "/year", "invalid"),
        (3, 5, "/year", "invalid"),
        (4, 6, "/number", "max_length"),
    ]
    assert "ErrorDetail" not in json.dumps(problem)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_8_they_store_half_and_say_400(method: str) -> None:
    stored = Contract.objects.create(number="S", year=1)
    good = {"id": stored.pk, "number": "C1", "year": 7}
    bad = {"id": 0, "number": "x" * 50, "year": "no"}

    refused = ask(Client(), method, "/api/contracts/", [good, bad])
    assert refused.status_code == 400
    assert [*Contract.objects.values_list("number", "year")] == [("S", 1)]

    partly = ask(Client(), method, "/api/contracts/", [good, bad], "handling=lenient")
    assert partly.status_code == 207
    counts = partly.json()
    assert counts["failed"] == 1
    assert sum(counts[kind] for kind in ("created", "updated", "deleted")) == 1


def test_9_their_upserts_refuse_what_is_stored() -> None:
    Contract.objects.create(number="C001", year=1)
    url = "/api/contracts/?unique_fields=number"

    response = ask(Client(), "POST", url, contracts(3)[::-1])
    assert [row["number"] for row in response.json()] == ["C002", "C001", "C000"]
    report = ask(Client(), "POST", url, contracts(4), "handling=lenient").json()
    assert (report["created"], report["unchanged"], report["failed"]) == (1, 3, 0)


def test_10_their_updates_are_one_case_of_each_row() -> None:
    rows = [
        {"id": Contract.objects.create(**row).pk, "year": 7} for row in contracts(300)
    ]

    with CaptureQueriesContext(connection) as context:
        ask(Client(), "PATCH", "/api/contracts/", rows, "return=minimal")

    updates = [q["sql"] for q in context if q["sql"].startswith("UPDATE")]
    assert not any("CASE" in sql for sql in updates)
    # What SQLite and MariaDB prepare once, and run for each.
    assert len(updates) <= 2
    assert set(Contract.objects.values_list("year", flat=True)) == {7}


def test_11_their_rows_overwrite_what_they_do_not_speak_of() -> None:
    a, b = (Contract.objects.create(number=n, year=1, amount=5) for n in "AB")

    ask(
        Client(),
        "PATCH",
        "/api/contracts/",
        [{"id": a.pk, "year": 2}, {"id": b.pk, "amount": "6"}],
    )

    rows = Contract.objects.order_by("number").values_list("year", "amount")
    assert [(year, int(amount or 0)) for year, amount in rows] == [(2, 5), (1, 6)]


def test_12_one_method_of_theirs_is_left_alive() -> None:
    for address in ("/api/contracts/", "/api/async-contracts/"):
        for method in ("POST", "PATCH", "PUT", "DELETE"):
            code = ask(Client(), method, address, [{}]).json()["code"]
            assert code == "invalid_rows", (address, method)


def test_13_their_jobs_wait_until_they_have_ended() -> None:
    client = Client()
    said = ask(client, "POST", "/api/contracts/", contracts(3), "respond-async").json()
    job = Job.objects.get(pk=said["task_id"])
    seen: list[tuple[str, int]] = []

    def look() -> None:
        status = client.get(said["status_url"]).json()
        seen.append((status["state"], status["progress"]["current"]))

    look()
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda _: look(),
    )
    look()

    assert seen[0] == ("PENDING", 0)
    assert ("PROGRESS", 0) in seen
    assert seen[-1] == ("SUCCESS", 3)


def test_14_their_csv_is_not_csv() -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["number", "year"], [" a\nb ", "1"], ["c"], ["d", ""]])

    rows = ask(Client(), "POST", "/api/contracts/", text.getvalue()).json()["rows"]
    assert [(row["row"], row["line"], row["errors"][0]["code"]) for row in rows] == [
        (2, 4, "ragged_row"),
        (3, 5, "invalid"),
    ]

    # A cell that is empty is no cell that is missing.
    stored = Contract.objects.create(number="S", year=1, amount=5)
    ask(Client(), "PATCH", "/api/contracts/", f"id,year,amount\n{stored.pk},2,\n")
    stored.refresh_from_db()
    assert (stored.year, str(stored.amount)) == (2, "5.00")


@pytest.mark.django_db(transaction=True)
def test_15_their_parts_run_one_after_the_other() -> None:
    """Each of the six ends when all of them have begun."""
    page = Client().get("/six/").json()

    assert sorted(place for part in page["results"] for place in part.values()) == [
        *range(6)
    ]


def test_16_their_parts_are_made_anew_for_each_page(settings: Any) -> None:
    made: list[str] = []

    class View(ProgressiveView):
        chunk_size = 1

        def get_parts(self) -> Any:
            return [(name, lazy(lambda name=name: made.append(name))) for name in "abc"]

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("view/", View.as_view())]
    settings.ROOT_URLCONF = module
    page = Client().get("/view/").json()

    while page["cursor"] is not None:
        page = Client().get("/view/", {"cursor": page["cursor"]}).json()

    assert made == ["a", "b", "c"]


def total(number: int) -> int:
    return number


def test_17_their_cache_keys_differ_from_process_to_process() -> None:
    code = (
        "import django; django.setup();"
        "from django_partstream.parts.cache_key import cache_key;"
        "from tests.bulk.test_what_others_get_wrong import total;"
        "print(cache_key(total, (1,), {'a': {'b', 'c'}}, 7))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONHASHSEED": "1",
        },
    )

    assert said.stdout.strip() == cache_key(total, (1,), {"a": {"b", "c"}}, 7)


def test_18_nobody_typed_their_snippets() -> None:
    """What a document imports is there. Most of them are run, too, by other tests."""
    imports = re.compile(
        r"^from (django_partstream[\w.]*) import (\(.*?\)|[^\n]*)$",
        re.MULTILINE | re.DOTALL,
    )
    found = 0

    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for block in re.findall(
            r"```python\n(.*?)```", document.read_text(), re.DOTALL
        ):
            for module, names in imports.findall(block):
                for name in re.findall(r"\w+", re.sub(r"#.*| as \w+", "", names)):
                    exec(f"from {module} import {name}")
                    found += 1

    assert found > 10


def test_all_eighteen_are_here() -> None:
    source = Path(__file__).read_text()
    numbers = {int(n) for n in re.findall(r"^def test_(\d+)_", source, re.MULTILINE)}

    assert numbers == {*range(1, 19)}
