"""A batch has the outcome of stock DRF serializers, asked row by row, in order."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import models, transaction
from django.db.models import QuerySet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.settings import api_settings

from django_partstream.bulk.compiled import reading
from django_partstream.bulk.operation import Operation
from django_partstream.bulk.outcome import Kind, Outcome
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.rows import Row
from tests.app.models import Account, Contract, Sample, Status, Transaction
from tests.app.serializers import (
    ContractSerializer,
    SampleSerializer,
    TransactionSerializer,
)
from tests.forms import count

pytestmark = [pytest.mark.database, pytest.mark.django_db]

Said = tuple[Any, ...]
SETTINGS = settings(
    max_examples=count(35, 3_000),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
EVERY_PAYLOAD = settings(SETTINGS, max_examples=count(35, 10_000))
ABSENT = object()


class RolledBackError(Exception):
    """Ends a trial."""


def flat(detail: Any, pointer: str = "") -> Iterator[tuple[str, str, str]]:
    """DRF's errors as pointer, code and text."""
    if isinstance(detail, dict):
        for name, below in detail.items():
            is_row = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from flat(below, pointer if is_row else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for below in detail:
            yield from flat(below, pointer)
    else:
        yield pointer, detail.code, str(detail)


def row_by_row(
    serializer_class: type[serializers.ModelSerializer[Any]],
    queryset: QuerySet[Any],
    unique_fields: Sequence[str],
    rows: Sequence[dict[str, Any]],
) -> list[Said]:
    """What a loop over DRF's serializers does and says."""
    said: list[Said] = []

    for data in rows:
        stored = match(serializer_class, queryset, unique_fields, data)
        before = None if stored is None else columns(stored)
        serializer = serializer_class(
            stored, data=data, partial=stored is not None, context={}
        )

        try:
            serializer.is_valid(raise_exception=True)
        except ValidationError as error:
            said.append((Kind.FAILED, sorted(flat(error.detail))))
            continue

        saved = serializer.save()
        saved.refresh_from_db()

        if before is None:
            said.append((Kind.CREATED, saved.pk))
        elif before == columns(saved):
            said.append((Kind.UNCHANGED, saved.pk))
        else:
            said.append((Kind.UPDATED, saved.pk))

    return said


def match(
    serializer_class: type[serializers.ModelSerializer[Any]],
    queryset: QuerySet[Any],
    unique_fields: Sequence[str],
    data: dict[str, Any],
) -> Any:
    key = {}
    fields = serializer_class().fields

    for name in unique_fields:
        field = fields[name]
        field.validators = [
            validator
            for validator in field.validators
            if not getattr(validator, "requires_context", False)
        ]

        try:
            key[name] = field.run_validation(data.get(name, serializers.empty))
        except (ValidationError, serializers.SkipField):
            return None

    if any(part is None for part in key.values()):
        return None

    return queryset.filter(**key).first()


def columns(instance: models.Model) -> dict[str, Any]:
    return {
        field.attname: getattr(instance, field.attname)
        for field in instance._meta.concrete_fields
    }


def together(
    upsert: Operation, rows: Sequence[dict[str, Any]], size: int
) -> list[Said]:
    outcomes: list[Outcome] = []
    numbered = [
        Row(number=number, line=None, data=data)
        for number, data in enumerate(rows, start=1)
    ]

    for start in range(0, len(numbered), size):
        outcomes += upsert.run(numbered[start : start + size])

    assert [outcome.row for outcome in outcomes] == [row.number for row in numbered]

    return [
        (
            outcome.kind,
            sorted((e.pointer, e.code, e.detail) for e in outcome.errors),
        )
        if outcome.kind is Kind.FAILED
        else (outcome.kind, outcome.pk)
        for outcome in outcomes
    ]


def table(model: type[models.Model]) -> list[dict[str, Any]]:
    return sorted(
        (columns(instance) for instance in model._default_manager.all()),
        key=lambda row: str(sorted((k, repr(v)) for k, v in row.items() if k != "id")),
    )


def without_ids(said: list[Said], rows: list[dict[str, Any]], key: str) -> Any:
    """Sequences count on after a rollback: an id is told by its row's key."""
    keys = {row["id"]: row[key] for row in rows}
    plain = [(kind, what if kind is Kind.FAILED else keys[what]) for kind, what in said]

    return plain, [{k: v for k, v in row.items() if k != "id"} for row in rows]


def tried(run: Any, model: type[models.Model], key: str) -> Any:
    result: Any = None

    try:
        with transaction.atomic():
            said = run()
            result = without_ids(said, table(model), key)
            raise RolledBackError
    except RolledBackError:
        return result


def assert_equal_outcome(
    serializer_class: type[serializers.ModelSerializer[Any]],
    unique_fields: Sequence[str],
    rows: list[dict[str, Any]],
    *,
    size: int,
    key: str,
) -> None:
    model: Any = serializer_class.Meta.model
    queryset = model._default_manager.all()
    target = Target(
        get_serializer=lambda *a, **k: serializer_class(*a, context={}, **k),
        queryset=queryset,
    )

    def batched() -> list[Said]:
        upsert = Write(target, unique_fields=unique_fields)
        assert upsert.mode == "batch"

        return together(upsert, rows, size)

    one = tried(
        lambda: row_by_row(serializer_class, queryset, unique_fields, rows), model, key
    )

    assert tried(batched, model, key) == one


def a_row(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows in which any member may be absent."""
    return st.fixed_dictionaries({}, optional=members)


def mostly(
    good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, bad)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", " ", True, False, [], {}, 1.5, "x" * 300, "\0", "é"]
)
NUMBERS = mostly(st.sampled_from(["C1", "C2", "C3", " C1 ", "c1", 7, "7"]), ODD)
YEARS = mostly(
    st.sampled_from([2024, "2024", "2025", 0, 32767, 32768, -1, "1.0", "1.5", "٣"]), ODD
)
AMOUNTS = mostly(
    st.sampled_from(["10", "10.00", 10, "1e2", "99999999.99", "100000000", "0.001"]),
    ODD,
)


@pytest.fixture
def accounts() -> list[Account]:
    return [Account.objects.create(name=name) for name in ("one", "two")]


@EVERY_PAYLOAD
@given(data=st.data(), size=st.integers(1, 8))
def test_contracts(data: st.DataObject, size: int, accounts: list[Account]) -> None:
    known = [account.pk for account in accounts]
    account = mostly(st.sampled_from([*known, str(known[0]), 999_999, "x"]), ODD)
    rows = data.draw(
        st.lists(
            a_row(number=NUMBERS, year=YEARS, amount=AMOUNTS, account=account),
            max_size=10,
        )
    )
    Contract.objects.get_or_create(number="C2", defaults={"year": 1999})

    assert_equal_outcome(ContractSerializer, ["number"], rows, size=size, key="number")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@EVERY_PAYLOAD
@given(data=st.data(), size=st.integers(1, 8))
def test_transactions(
    zone: str, data: st.DataObject, size: int, accounts: list[Account]
) -> None:
    from django.utils import timezone

    status, _ = Status.objects.get_or_create(code="open")
    moment = datetime.datetime(2024, 1, 1, 10, tzinfo=datetime.UTC)
    Transaction.objects.get_or_create(
        account=accounts[0],
        datetime=moment,
        defaults={"status": status, "amount": 1, "description": "old"},
    )
    rows = data.draw(
        st.lists(
            a_row(
                account=mostly(st.sampled_from([accounts[0].pk, accounts[1].pk]), ODD),
                status=mostly(st.just("open"), st.sampled_from(["shut", None, 1, ""])),
                datetime=mostly(
                    st.sampled_from(
                        [
                            "2024-01-01T10:00:00Z",
                            "2024-01-01T11:00:00+01:00",
                            "2024-01-01 10:00",
                            "2024-01-01",
                            "2024-13-01T10:00:00Z",
                            "2024-03-10T02:30:00",
                        ]
                    ),
                    ODD,
                ),
                amount=AMOUNTS,
                description=mostly(st.sampled_from(["new", " a ", "", 5]), ODD),
            ),
            max_size=8,
        )
    )

    with timezone.override(zone):
        assert_equal_outcome(
            TransactionSerializer,
            ["account", "datetime"],
            rows,
            size=size,
            key="datetime",
        )


@EVERY_PAYLOAD
@given(data=st.data(), size=st.integers(1, 6))
def test_columns_of_many_kinds(data: st.DataObject, size: int) -> None:
    texts = st.sampled_from(
        ["r", "b", "g", "1", "0", "yes", "2024-02-29", "2023-02-29", "12:30", "3 days"]
    )
    some = st.one_of(texts, ODD, st.integers(-3, 3), st.floats(-2, 2))
    rows = data.draw(
        st.lists(
            a_row(
                label=st.sampled_from(["a", "b", "c"]),
                colour=some,
                span=some,
                is_on=some,
                maybe=some,
                day=some,
                clock=some,
                ratio=some,
                token=some,
                rank=some,
                note=some,
            ),
            max_size=6,
        )
    )
    Sample.objects.get_or_create(label="a")

    assert_equal_outcome(SampleSerializer, ["label"], rows, size=size, key="label")


def test_a_planted_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, accounts: list[Account]
) -> None:
    rows = [{"number": "C1", "year": 1}, {"number": "C1", "year": 1.0}]
    assert_equal_outcome(ContractSerializer, ["number"], rows, size=4, key="number")

    # As if a column took a value for another that is equal to it.
    monkeypatch.setattr(reading, "NUMBERS", frozenset({bytes}))

    with pytest.raises(AssertionError):
        assert_equal_outcome(
            ContractSerializer,
            ["number"],
            [{"number": "C1", "year": 1}, {"number": "C2", "year": True}],
            size=4,
            key="number",
        )
