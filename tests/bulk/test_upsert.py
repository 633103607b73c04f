"""What an upsert does beside what DRF does row by row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from django_partstream.bulk.outcome import Kind, Outcome
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.rows import Row
from django_partstream.errors import ColumnsError, UniqueFieldsError
from tests.app.models import (
    Account,
    Contract,
    Document,
    Event,
    Folder,
    Nickname,
    Product,
    Review,
    Shouted,
)
from tests.app.serializers import (
    ContractSerializer,
    CountrySerializer,
    DocumentSerializer,
    EventSerializer,
    FolderSerializer,
    NicknameSerializer,
    PlaceSerializer,
    ProductSerializer,
    ReviewSerializer,
    ShoutedSerializer,
    TenantContractSerializer,
    UncheckedProductSerializer,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def make(
    serializer_class: Any,
    *unique_fields: str,
    queryset: Any = None,
    context: dict[str, Any] | None = None,
    update_fields: list[str] | None = None,
    **options: Any,
) -> Write:
    if queryset is None:
        queryset = serializer_class.Meta.model._default_manager.all()

    def get_serializer(*args: Any, **kwargs: Any) -> Any:
        return serializer_class(*args, context=context or {}, **kwargs)

    target = Target(get_serializer=get_serializer, queryset=queryset, **options)

    return Write(target, unique_fields=unique_fields, update_fields=update_fields)


def run(upsert: Write, *rows: Any) -> list[Outcome]:
    with transaction.atomic():
        return [
            *upsert.run(
                [Row(number=n, line=None, data=data) for n, data in enumerate(rows, 1)]
            )
        ]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind.value for outcome in outcomes]


def codes(outcome: Outcome) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in outcome.errors]


@pytest.mark.django_db(transaction=True)
def test_it_needs_a_transaction() -> None:
    upsert = make(ContractSerializer, "number")

    with pytest.raises(TransactionManagementError):
        upsert.run([])


@pytest.mark.parametrize("size", [10, 60])
def test_queries_do_not_grow_with_the_rows(size: int) -> None:
    accounts = [Account.objects.create(name=str(n)) for n in range(5)]
    rows = [
        {"number": f"C{n}", "year": 2000, "account": accounts[n % 5].pk}
        for n in range(size)
    ]
    changed = [{**row, "year": 2001} for row in rows[::2]]
    new = [{**row, "number": f"N{row['number']}"} for row in rows[::2]]
    upsert = make(ContractSerializer, "number")
    run(upsert, *rows)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        outcomes = run(upsert, *changed, *new)

    assert {*kinds(outcomes)} == {"updated", "created"}
    statements = [q for q in queries if "SAVEPOINT" not in q["sql"]]
    # MariaDB's driver sends an UPDATE for each changed row, and finds new ids again.
    limit = 8 if connection.vendor != "mysql" else 8 + len(changed)
    assert len(statements) <= limit, [q["sql"][:80] for q in statements]


def test_a_second_run_changes_nothing() -> None:
    upsert = make(ContractSerializer, "number")
    rows = [{"number": f"C{n}", "year": 2000 + n} for n in range(5)]
    run(upsert, *rows)

    assert kinds(run(upsert, *rows)) == ["unchanged"] * 5


def test_what_was_not_sent_is_not_touched() -> None:
    Contract.objects.create(number="C1", year=1999, amount=7)

    run(make(ContractSerializer, "number"), {"number": "C1", "year": 2000})

    contract = Contract.objects.get()
    assert contract.year == 2000
    assert contract.amount == 7


def test_update_fields_limit_an_update_and_no_insert() -> None:
    Contract.objects.create(number="C1", year=1999, amount=7)
    upsert = make(ContractSerializer, "number", update_fields=["amount"])

    run(
        upsert,
        {"number": "C1", "year": 2000, "amount": "8"},
        {"number": "C2", "year": 2000, "amount": "9"},
    )

    assert [*Contract.objects.order_by("number").values_list("year", "amount")] == [
        (1999, Decimal(8)),
        (2000, Decimal(9)),
    ]


def test_a_row_outside_the_queryset_is_a_conflict_and_stays_as_it_is() -> None:
    theirs = Product.objects.create(code="P1", serial=1, price=5, tenant="theirs")
    ours = Product.objects.filter(tenant="ours")

    (outcome, other) = run(
        make(UncheckedProductSerializer, "code", queryset=ours),
        {"code": "P1", "serial": 9, "price": 1},
        {"code": "P2", "serial": 2, "price": 1},
    )

    assert (outcome.kind, other.kind) == (Kind.FAILED, Kind.CREATED)
    assert "theirs" not in str(outcome.errors)
    theirs.refresh_from_db()
    assert (theirs.price, theirs.serial, theirs.tenant) == (5, 1, "theirs")


def test_related_objects_are_those_of_the_fields_own_queryset() -> None:
    ours = Account.objects.create(name="a", tenant="ours")
    theirs = Account.objects.create(name="b", tenant="theirs")

    good, bad = run(
        make(TenantContractSerializer, "number", context={"tenant": "ours"}),
        {"number": "C1", "year": 1, "account": ours.pk},
        {"number": "C2", "year": 1, "account": theirs.pk},
    )

    assert good.kind is Kind.CREATED
    assert codes(bad) == [("/account", "does_not_exist")]


def test_a_row_that_the_database_refuses_is_found_and_the_others_go_on() -> None:
    rows = [{"code": f"P{n}", "serial": n, "price": n} for n in range(40)]
    rows[17]["price"] = -1

    outcomes = run(make(UncheckedProductSerializer, "code"), *rows)

    assert [o.row for o in outcomes if o.kind is Kind.FAILED] == [18]
    assert Product.objects.count() == 39
    (error,) = outcomes[17].errors
    assert "price_not_negative" not in error.detail


def test_a_value_taken_by_another_row_of_the_batch_is_taken() -> None:
    outcomes = run(
        make(ProductSerializer, "code"),
        {"code": "P1", "serial": 1},
        {"code": "P2", "serial": 1},
        {"code": "P3", "serial": 3},
    )

    assert kinds(outcomes) == ["created", "failed", "created"]
    assert codes(outcomes[1]) == [("/serial", "unique")]


def test_a_stored_row_keeps_its_own_values_and_nobody_elses() -> None:
    Product.objects.create(code="P1", serial=1)
    Product.objects.create(code="P2", serial=2)

    same, others = run(
        make(ProductSerializer, "code"),
        {"code": "P1", "serial": 1, "price": 3},
        {"code": "P2", "serial": 1},
    )

    assert same.kind is Kind.UPDATED
    assert codes(others) == [("/serial", "unique")]


def test_a_constraint_that_no_validator_knows_refuses_its_row() -> None:
    outcomes = run(
        make(PlaceSerializer, "code"),
        {"code": "a", "name": "North"},
        {"code": "b", "name": "NORTH"},
        {"code": "c", "name": "South"},
    )

    # MariaDB has no such constraints.
    is_known = connection.features.supports_expression_indexes
    second = "failed" if is_known else "created"
    assert kinds(outcomes) == ["created", second, "created"]


def test_the_database_compares_keys() -> None:
    Nickname.objects.create(name="Ann", points=1)

    outcomes = run(
        make(NicknameSerializer, "name"),
        {"name": "ANN", "points": 2},
        {"name": "Bob", "points": 1},
        {"name": "BOB", "points": 2},
        {"name": "ann", "points": 2},
        {"name": "ann", "points": 2},
    )

    assert kinds(outcomes) == ["updated", "created", "updated", "updated", "unchanged"]
    assert dict(Nickname.objects.values_list("name", "points")) == {"ann": 2, "BOB": 2}


def test_a_key_twice_is_applied_in_order() -> None:
    outcomes = run(
        make(ContractSerializer, "number"),
        {"number": "C1", "year": 1},
        {"number": "C2", "year": 1},
        {"number": "C1", "year": 2},
        {"number": "C1", "year": 2},
    )

    assert kinds(outcomes) == ["created", "created", "updated", "unchanged"]
    assert Contract.objects.get(number="C1").year == 2


def test_a_row_may_refer_to_an_earlier_one() -> None:
    outcomes = run(
        make(FolderSerializer, "code"),
        {"code": "root"},
        {"code": "leaf", "parent": "root"},
        {"code": "odd", "parent": "nowhere"},
    )

    assert kinds(outcomes) == ["created", "created", "failed"]
    assert Folder.objects.get(code="leaf").parent == Folder.objects.get(code="root")


def test_dates_that_saving_sets_are_set() -> None:
    upsert = make(EventSerializer, "name")
    run(upsert, {"name": "e"})
    first = Event.objects.get()

    assert kinds(run(upsert, {"name": "e"})) == ["updated"]

    second = Event.objects.get()
    assert second.created == first.created
    assert second.changed > first.changed


def test_keys_of_every_kind() -> None:
    run(make(DocumentSerializer, "title"), {"title": "t", "pages": 3})
    run(make(CountrySerializer, "iso"), {"iso": "de", "name": "Deutschland"})

    assert kinds(run(make(CountrySerializer, "iso"), {"iso": "de", "name": "D"})) == [
        "updated"
    ]
    document = Document.objects.get()
    assert kinds(
        run(make(DocumentSerializer, "id"), {"id": str(document.pk), "pages": 4})
    ) == ["updated"]


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ([], [["id"], ["number"]]),
        (["year"], [["id"], ["number"]]),
        (["account__name"], [["id"], ["number"]]),
        (["number", "year"], [["id"], ["number"]]),
    ],
)
def test_unique_fields_must_be_a_unique_set(names: list[str], allowed: Any) -> None:
    with pytest.raises(UniqueFieldsError) as caught:
        make(ContractSerializer, *names)

    assert caught.value.extra["allowed"] == allowed
    assert "Possible unique_fields: id; number." in caught.value.detail


def test_unknown_update_fields_are_refused() -> None:
    with pytest.raises(ColumnsError, match="Unknown update_fields: 'password'"):
        make(ContractSerializer, "number", update_fields=["password"])


def test_a_model_whose_save_does_more_is_saved_row_by_row() -> None:
    upsert = make(ShoutedSerializer, "name")

    outcomes = run(upsert, {"name": "a"}, {"name": "b", "times": "x"}, {"name": "a"})

    assert upsert.mode == "rows"
    assert "Shouted.save" in upsert.reason
    assert kinds(outcomes) == ["created", "failed", "unchanged"]
    assert Shouted.objects.get().shout == "A"


def test_a_receiver_is_called_for_every_row() -> None:
    seen: list[str] = []

    def receive(instance: Contract, **_: Any) -> None:
        seen.append(instance.number)

    post_save.connect(receive, sender=Contract)

    try:
        upsert = make(ContractSerializer, "number")
        run(upsert, {"number": "C1", "year": 1}, {"number": "C2", "year": 1})
    finally:
        post_save.disconnect(receive, sender=Contract)

    assert upsert.mode == "rows"
    assert "receive" in upsert.reason
    assert seen == ["C1", "C2"]


def test_several_tables_go_row_by_row() -> None:
    reviews = make(ReviewSerializer, "slug")

    run(reviews, {"slug": "r", "title": "R", "stars": 5})

    assert reviews.mode == "rows"
    assert Review.objects.get().stars == 5


def test_object_permissions_refuse_their_row() -> None:
    from rest_framework.exceptions import PermissionDenied

    Contract.objects.create(number="C1", year=1)

    def check(contract: Any) -> None:
        raise PermissionDenied

    outcomes = run(
        make(ContractSerializer, "number", check_object=check),
        {"number": "C1", "year": 2},
        {"number": "C2", "year": 2},
    )

    assert kinds(outcomes) == ["failed", "created"]
    assert codes(outcomes[0]) == [("", "permission_denied")]


def test_a_deadlock_is_no_rows_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_partstream.bulk.writers import WRITERS
    from django_partstream.bulk.writers.portable import PortableWriter

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("deadlock detected")

    upsert = make(ContractSerializer, "number")

    for cls in [PortableWriter, *WRITERS.values()]:
        monkeypatch.setattr(cls, "insert", fail)
        monkeypatch.setattr(cls, "insert_columns", fail)

    with pytest.raises(OperationalError):
        run(upsert, {"number": "C1", "year": 1})


def test_values_that_no_database_takes_are_the_rows_errors() -> None:
    outcomes = run(
        make(ContractSerializer, "number"),
        {"number": "a\0b", "year": 1},
        {"number": "\ud800", "year": 1},
        {"number": "C1", "year": 10**30},
        {"number": "C2", "year": 1, "account": 10**30},
        {"number": "C3", "year": 1, "account": "\0"},
        {"number": "C4", "year": 1},
    )

    assert kinds(outcomes) == ["failed"] * 5 + ["created"]


def test_what_is_no_object_is_the_rows_error() -> None:
    outcomes = run(make(ContractSerializer, "number"), 1, "x", None, [], {})

    assert kinds(outcomes) == ["failed"] * 5
    assert outcomes[0].errors[0].detail == (
        "Invalid data. Expected a dictionary, but got int."
    )


def test_an_integrity_error_of_a_serializers_own_code_is_its_rows() -> None:
    class Careless(ContractSerializer):
        def create(self, validated_data: Any) -> Any:
            raise IntegrityError("secret")

    outcomes = run(make(Careless, "number"), {"number": "C1", "year": 1})

    assert kinds(outcomes) == ["failed"]
    assert "secret" not in str(outcomes[0].errors)


def test_csv_cells_mean_what_form_fields_mean() -> None:
    Contract.objects.create(number="C1", year=1, amount=5)

    outcomes = run(
        make(ContractSerializer, "number", text=True, null_values=frozenset(["NA"])),
        {"number": "C1", "year": "2", "amount": ""},
        {"number": "C2", "year": "NA", "amount": "1"},
        {"number": "NA", "year": "1", "amount": "1"},
    )

    assert kinds(outcomes) == ["updated", "failed", "failed"]
    assert Contract.objects.get().amount is None
    assert codes(outcomes[1]) == [("/year", "null")]
    assert codes(outcomes[2]) == [("/number", "null")]


def test_a_serializers_own_validation_is_called() -> None:
    class Picky(ContractSerializer):
        def validate_year(self, value: int) -> int:
            if value == 13:
                raise serializers.ValidationError("Not that one.", code="picky")

            return value + 1

        def validate(self, attrs: Any) -> Any:
            if attrs.get("amount") == 0:
                raise serializers.ValidationError("No gifts.")

            return attrs

    outcomes = run(
        make(Picky, "number"),
        {"number": "C1", "year": 12},
        {"number": "C2", "year": 13},
        {"number": "C3", "year": 1, "amount": 0},
    )

    assert kinds(outcomes) == ["created", "failed", "failed"]
    assert codes(outcomes[1]) == [("/year", "picky")]
    assert codes(outcomes[2]) == [("", "invalid")]
    assert Contract.objects.get().year == 13
