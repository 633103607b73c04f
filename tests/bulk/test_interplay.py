"""Rows of a batch that get in each other's way, and writers that do not matter."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from django_partstream.bulk import pipeline, questions
from django_partstream.bulk.operation import Operation
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.row import Row
from django_partstream.bulk.writers.portable import PortableWriter
from tests.app.models import (
    Account,
    Contract,
    Folder,
    Nickname,
    Place,
    Product,
    Sample,
    Status,
    Transaction,
)
from tests.app.serializers import (
    ContractSerializer,
    FolderSerializer,
    NicknameSerializer,
    PlaceSerializer,
    ProductSerializer,
    TransactionSerializer,
    UncheckedProductSerializer,
)
from tests.bulk.test_against_drf import (
    SETTINGS,
    a_row,
    assert_equal_outcome,
    row_by_row,
    together,
)

pytestmark = pytest.mark.database

CODES = st.sampled_from(["A", "B", "C", "D"])
PRODUCTS = st.lists(
    a_row(
        code=CODES,
        serial=st.integers(1, 4),
        shelf=st.sampled_from(["", "x"]),
        slot=st.sampled_from([None, 1, 2]),
    ),
    max_size=10,
)


def target(serializer_class: Any, **given_by_view: Any) -> Target:
    return Target(
        get_serializer=lambda *args, **kwargs: serializer_class(
            *args, context={}, **kwargs
        ),
        queryset=serializer_class.Meta.model._default_manager.all(),
        **given_by_view,
    )


def rows_of(*data: Any) -> list[Row]:
    return [
        Row(number=number, line=None, data=each)
        for number, each in enumerate(data, start=1)
    ]


def run(operation: Operation, *data: Any) -> list[Any]:
    with transaction.atomic():
        outcomes = operation.run(rows_of(*data))

    return [
        outcome.kind
        if outcome.kind is not Kind.FAILED
        else [(error.pointer, error.code) for error in outcome.errors]
        for outcome in outcomes
    ]


@pytest.mark.django_db
@SETTINGS
@given(rows=PRODUCTS, size=st.integers(1, 10), key=st.sampled_from(["code", "serial"]))
def test_products_with_many_unique_sets(rows: Any, size: int, key: str) -> None:
    Product.objects.get_or_create(code="A", defaults={"serial": 9, "slot": 1})
    Product.objects.get_or_create(code="Z", defaults={"serial": 2, "shelf": "x"})

    assert_equal_outcome(ProductSerializer, [key], rows, size=size, key="code")


@pytest.mark.django_db
@SETTINGS
@given(
    rows=st.lists(
        a_row(
            code=CODES,
            serial=st.integers(1, 5),
            shelf=st.just("x"),
            slot=st.integers(1, 4),
            price=st.sampled_from([0, 1, -1, 2**70]),
        ),
        max_size=10,
    ),
    key=st.sampled_from([["code"], ["shelf", "slot"]]),
    serializer_class=st.sampled_from([ProductSerializer, UncheckedProductSerializer]),
    size=st.integers(1, 10),
)
def test_rows_written_together_and_one_by_one_come_out_the_same(
    rows: Any, key: list[str], serializer_class: Any, size: int
) -> None:
    """Whatever only the database knows about, too."""

    def outcome(mode: pipeline.Mode) -> Any:
        result: Any = None

        with contextlib.suppress(RuntimeError), transaction.atomic():
            Product.objects.create(code="A", serial=9, shelf="x", slot=4)
            upsert = Write(target(serializer_class), unique_fields=key)
            upsert.mode = mode
            numbered = rows_of(*rows)
            outcomes = [
                each
                for start in range(0, len(numbered), size)
                for each in upsert.run(numbered[start : start + size])
            ]
            names = "code", "serial", "shelf", "slot", "price"
            codes = dict(Product.objects.values_list("pk", "code"))
            result = (
                [(o.row, o.kind, codes.get(o.pk), o.errors, o.data) for o in outcomes],
                [*Product.objects.order_by("code").values_list(*names)],
            )
            raise RuntimeError("rolled back")

        return result

    assert outcome("batch") == outcome("rows")


@pytest.mark.django_db
@SETTINGS
@given(
    rows=st.lists(
        a_row(
            name=st.sampled_from(["Ann", "ANN", "ann ", "Bob", "bob", "Cy"]),
            points=st.integers(0, 2),
        ),
        max_size=10,
    ),
    size=st.integers(1, 10),
)
def test_keys_that_only_the_database_takes_for_equal(rows: Any, size: int) -> None:
    Nickname.objects.get_or_create(name="ann", defaults={"points": 1})

    assert_equal_outcome(NicknameSerializer, ["name"], rows, size=size, key="name")


@pytest.mark.django_db
def test_key_in_another_spelling_is_that_of_the_row_before() -> None:
    """Though by itself it would lack what a new row needs."""

    class Strict(NicknameSerializer):
        points = serializers.IntegerField()

    upsert = Write(target(Strict), unique_fields=["name"])

    assert run(upsert, {"name": "ann", "points": 1}, {"name": "ANN"}) == [
        "created",
        "updated",
    ]


@pytest.mark.django_db
def test_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no row of a batch knew what another one wants."""
    Product.objects.create(code="A", serial=9)
    rows = [{"code": "B", "serial": 1}, {"code": "A", "serial": 1}]
    assert_equal_outcome(ProductSerializer, ["code"], rows, size=2, key="code")

    monkeypatch.setattr(questions.Question, "wanted", lambda _: object())

    with pytest.raises(AssertionError):
        assert_equal_outcome(ProductSerializer, ["code"], rows, size=2, key="code")


class UnrankedSerializer(serializers.ModelSerializer[Sample]):
    class Meta:
        model = Sample
        fields = ["label", "note"]


@pytest.mark.django_db
def test_defaults_of_the_database_are_left_to_it() -> None:
    upsert = Write(target(UnrankedSerializer), unique_fields=["label"])

    kinds = run(upsert, {"label": "a"}, {"label": "b", "note": "n"})
    again = run(upsert, {"label": "a"}, {"label": "b", "note": "n"})

    assert kinds == ["created", "created"]
    assert again == ["unchanged", "unchanged"]
    assert [*Sample.objects.values_list("rank", "colour", "extra")] == [
        (7, "r", {})
    ] * 2


@pytest.mark.django_db
@SETTINGS
@given(
    rows=st.lists(
        a_row(code=st.sampled_from("abcd"), parent=st.sampled_from([*"abcd", None])),
        max_size=8,
    ),
    size=st.integers(1, 8),
)
def test_folders_in_folders(rows: Any, size: int) -> None:
    Folder.objects.get_or_create(code="a")
    upsert = Write(target(FolderSerializer), unique_fields=["code"])
    everywhere = Folder.objects.all()

    def outcome(written: Any) -> Any:
        result: Any = None

        with contextlib.suppress(RuntimeError), transaction.atomic():
            said = written()
            result = (
                [what if kind is Kind.FAILED else kind for kind, what in said],
                [*Folder.objects.order_by("code").values_list("code", "parent__code")],
            )
            raise RuntimeError("rolled back")

        return result

    assert outcome(lambda: together(upsert, rows, size)) == outcome(
        lambda: row_by_row(FolderSerializer, everywhere, ["code"], rows)
    )


@pytest.mark.django_db
def test_values_may_be_handed_on_within_a_batch() -> None:
    Product.objects.create(code="A", serial=1)
    Product.objects.create(code="B", serial=2)
    upsert = Write(target(ProductSerializer), unique_fields=["code"])

    kinds = run(
        upsert,
        {"code": "A", "serial": 3},
        {"code": "B", "serial": 1},
        {"code": "C", "serial": 2},
        {"code": "D", "serial": 2},
    )

    assert kinds == ["updated", "updated", "created", [("/serial", "unique")]]


@pytest.mark.django_db
def test_who_comes_first_wins_where_only_the_database_knows() -> None:
    """Keys are sorted to avoid deadlocks, but not at the price of the outcome."""
    if not connection.features.supports_expression_indexes:
        pytest.skip("the constraint is one on an expression")

    upsert = Write(target(PlaceSerializer), unique_fields=["code"])

    kinds = run(
        upsert,
        {"code": "z", "name": "Here"},
        {"code": "a", "name": "HERE"},
        {"code": "z", "name": "There"},
        {"code": "b", "name": "HERE"},
    )

    assert kinds == ["created", [("", "conflict")], "updated", "created"]
    assert dict(Place.objects.values_list("code", "name")) == {
        "z": "There",
        "b": "HERE",
    }


@pytest.mark.django_db
def test_moment_in_the_hour_that_clocks_skip_or_repeat_is_itself() -> None:
    account = Account.objects.create(name="one")
    Status.objects.create(code="open")
    upsert = Write(target(TransactionSerializer), unique_fields=["account", "datetime"])
    rows = [
        {
            "account": account.pk,
            "status": "open",
            "datetime": moment,
            "amount": "1.00",
        }
        for moment in ("2024-11-03T01:30:00", "2024-11-03T06:30:00Z")
    ]

    with timezone.override("America/New_York"):
        first = run(upsert, *rows)
        second = run(upsert, *rows)

    assert first == ["created", "created"]
    assert second == ["unchanged", "unchanged"]
    assert Transaction.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("returns_rows", [True, False])
def test_portable_writer_stores_the_same(
    monkeypatch: pytest.MonkeyPatch, *, returns_rows: bool
) -> None:
    """MySQL, for one, returns no primary keys of many rows."""
    monkeypatch.setattr(pipeline, "writer_for", PortableWriter)
    features = type(connection.features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", returns_rows)
    Product.objects.create(code="A", serial=1)
    Product.objects.create(code="Z", serial=7, tenant="theirs")
    ours = target(ProductSerializer)
    upsert = Write(
        Target(
            get_serializer=ours.get_serializer,
            queryset=ours.queryset.filter(tenant="ours"),
        ),
        unique_fields=["code"],
    )

    with transaction.atomic():
        outcomes = upsert.run(
            rows_of(
                {"code": "A", "serial": 2},
                {"code": "C", "serial": 3},
                {"code": "Z", "serial": 4},
                {"code": "D", "serial": 5, "price": -1},
                {"code": "B", "serial": 6},
            )
        )

    assert [outcome.kind for outcome in outcomes] == [
        "updated",
        "created",
        "failed",
        "failed",
        "created",
    ]
    assert [o.errors[0].code for o in outcomes if o.errors] == ["conflict", "invalid"]
    assert dict(Product.objects.values_list("code", "pk")) == {
        "A": outcomes[0].pk,
        "B": outcomes[4].pk,
        "C": outcomes[1].pk,
        "Z": Product.objects.get(code="Z").pk,
    }


@pytest.mark.django_db(transaction=True)
def test_writers_that_meet_do_not_die_of_it() -> None:
    """Both write the same keys, each in its own order, in one batch."""
    if not connection.features.has_select_for_update:
        pytest.skip("the whole database is locked by who writes")

    keys = [f"C{number:03}" for number in range(200)]
    start = threading.Barrier(2, timeout=30)
    seen: list[Any] = []

    def write(keys: list[str], year: int) -> None:
        upsert = Write(target(ContractSerializer), unique_fields=["number"])

        try:
            for _ in range(5):
                start.wait()
                seen.append(
                    run(upsert, *({"number": key, "year": year} for key in keys))
                )
                year += 2
        except Exception as error:
            seen.append(error)
            start.abort()
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=write, args=(keys, 2000)),
        threading.Thread(target=write, args=(keys[::-1], 2001)),
    ]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    kinds = [kind for outcome in seen for kind in outcome]
    assert sorted(map(str, set(kinds))) == ["created", "updated"]
    assert kinds.count(Kind.CREATED) == 200
    assert Contract.objects.count() == 200


class BareContractSerializer(serializers.ModelSerializer[Contract]):
    account_id = serializers.IntegerField()

    class Meta:
        model = Contract
        fields = ["number", "year", "account_id"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["batch", "rows"])
def test_foreign_key_that_nobody_looks_up_is_found_missing(mode: pipeline.Mode) -> None:
    """Not at COMMIT, for all rows at once."""
    account = Account.objects.create(name="one")
    upsert = Write(target(BareContractSerializer), unique_fields=["number"])
    upsert.mode = mode

    kinds = run(
        upsert,
        {"number": "1", "year": 1, "account_id": account.pk},
        {"number": "2", "year": 1, "account_id": account.pk + 99},
        {"number": "1", "year": 1, "account_id": account.pk + 99},
    )

    missing = [("", "does_not_exist")]
    assert kinds == ["created", missing, missing]
    assert Contract.objects.get().account == account


@pytest.mark.django_db
def test_many_conflicts_cost_a_few_queries(
    django_assert_max_num_queries: Any,
) -> None:
    if connection.vendor == "mysql":
        pytest.skip("there, each row that is refused is found by halving")

    for number in range(100):
        Contract.objects.create(number=f"C{number}", year=1)

    nothing = Contract.objects.none()
    upsert = Write(
        Target(
            get_serializer=target(ContractSerializer).get_serializer, queryset=nothing
        ),
        unique_fields=["number"],
    )

    with django_assert_max_num_queries(40):
        kinds = run(upsert, *({"number": f"C{n}", "year": 2} for n in range(101)))

    assert kinds == [[("", "conflict")]] * 100 + ["created"]
