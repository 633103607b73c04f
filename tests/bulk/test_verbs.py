"""Create, update, replace and delete: each is what DRF does row by row, in order."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models.signals import post_delete
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import PermissionDenied, ValidationError

from django_partstream.bulk.deletion import Delete
from django_partstream.bulk.operation import operation_on
from django_partstream.bulk.outcome import Kind, RowError
from django_partstream.bulk.pipeline import Write
from django_partstream.bulk.row import Row
from django_partstream.bulk.verb import Verb
from django_partstream.errors import UniqueFieldsError
from tests.app.models import (
    Account,
    Article,
    Contract,
    Country,
    Folder,
    Product,
    Shouted,
    Status,
    Transaction,
)
from tests.app.serializers import (
    ArticleSerializer,
    ContractSerializer,
    CountrySerializer,
    FolderSerializer,
    ProductSerializer,
    ShoutedSerializer,
)
from tests.bulk.test_against_drf import SETTINGS, Said, a_row, columns, flat, together
from tests.bulk.test_interplay import rows_of, run, target

pytestmark = [pytest.mark.database, pytest.mark.django_db]

CODES = st.sampled_from(["A", "B", "C", "D"])
ROWS = st.lists(
    a_row(
        id=st.sampled_from([901, 902, 903, 99, "902", "x", None, 1.5, True]),
        code=CODES,
        serial=st.integers(1, 5),
        shelf=st.sampled_from(["", "x"]),
        slot=st.sampled_from([None, 1, 2]),
        price=st.sampled_from([0, 7, "no"]),
    ),
    max_size=8,
)
#: What a `Verb` makes of a row without a stored one.
REQUIRED = [("/id", "required", "This field is required.")]


class RolledBackError(Exception):
    """Ends a trial."""


def tried(does: Any) -> Any:
    """What it said, and the table afterwards; then all of it is undone."""
    result: Any = None

    try:
        with transaction.atomic():
            for pk, code, serial in [(901, "A", 1), (902, "B", 2), (903, "Y", 3)]:
                Product.objects.create(pk=pk, code=code, serial=serial)

            said = does()
            rows = [columns(product) for product in Product.objects.order_by("code")]
            codes = {row.pop("id"): row["code"] for row in rows}
            result = (
                [
                    (kind, what if kind in (Kind.FAILED, Kind.DELETED) else codes[what])
                    for kind, what in said
                ],
                rows,
            )
            raise RolledBackError
    except RolledBackError:
        return result


def stock(verb: Verb, rows: list[dict[str, Any]]) -> list[Said]:
    """A loop over DRF's serializer, as its generic views do it."""
    said: list[Said] = []

    for data in rows:
        stored = None

        if verb.matches:
            if data.get("id") is None:
                said.append((Kind.FAILED, REQUIRED))
                continue

            stored = found(data["id"])

            if isinstance(stored, list):
                said.append((Kind.FAILED, stored))
                continue

        before = None if stored is None else columns(stored)
        serializer = ProductSerializer(
            stored, data=data, partial=verb.partial, context={}
        )

        try:
            serializer.is_valid(raise_exception=True)
        except ValidationError as error:
            said.append((Kind.FAILED, sorted(flat(error.detail))))
            continue

        saved = serializer.save()
        same = before == columns(saved)
        kind = Kind.UNCHANGED if same else Kind.UPDATED
        said.append((kind if stored else Kind.CREATED, saved.pk))

    return said


def found(pk: Any) -> Any:
    """The product, or the errors of its primary key."""
    try:
        number = Product._meta.pk.to_python(str(pk))
    except Exception as error:
        text = error.messages[0]  # type: ignore[attr-defined]

        return [("/id", "invalid", text)]

    detail = f'Invalid pk "{number}" - object does not exist.'

    return Product.objects.filter(pk=number).first() or [
        ("/id", "does_not_exist", detail)
    ]


@SETTINGS
@given(
    rows=ROWS,
    size=st.integers(1, 8),
    verb=st.sampled_from([Verb.CREATE, Verb.UPDATE, Verb.REPLACE]),
)
def test_many_rows_have_the_outcome_of_one_after_the_other(
    rows: list[dict[str, Any]], size: int, verb: Verb
) -> None:
    def ours() -> list[Said]:
        operation = Write(target(ProductSerializer), verb=verb)
        assert operation.mode == "batch"

        return together(operation, rows, size)

    assert tried(ours) == tried(lambda: stock(verb, rows))


@SETTINGS
@given(
    rows=ROWS,
    size=st.integers(2, 8),
    verb=st.sampled_from([*Verb]),
    key=st.sampled_from([[], ["code"], ["serial"], ["shelf", "slot"]]),
)
def test_how_many_rows_come_together_does_not_show(
    rows: list[dict[str, Any]], size: int, verb: Verb, key: list[str]
) -> None:
    """Keys that come twice, in one batch or in several, among them."""
    if verb is Verb.CREATE:
        key = []
    elif verb in (Verb.UPSERT, Verb.PUT):
        key = key or ["code"]

    def ours(size: int) -> list[Said]:
        world = target(ProductSerializer)

        return together(operation_on(world, verb, unique_fields=key), rows, size)

    assert tried(lambda: ours(size)) == tried(lambda: ours(1))


def test_what_an_update_does_not_say_stays_and_a_replacement_must_say() -> None:
    contract = Contract.objects.create(number="C1", year=1, amount="5.00")
    update = Write(target(ContractSerializer), verb=Verb.UPDATE)
    replace = Write(target(ContractSerializer), verb=Verb.REPLACE)

    assert run(update, {"id": contract.pk, "year": 2}) == [Kind.UPDATED]
    assert run(replace, {"id": contract.pk, "year": 3}) == [[("/number", "required")]]
    contract.refresh_from_db()
    assert (contract.number, contract.year, str(contract.amount)) == ("C1", 2, "5.00")


def test_put_by_key_replaces_what_is_there_and_creates_the_rest() -> None:
    Contract.objects.create(number="C1", year=1)
    put = Write(target(ContractSerializer), verb=Verb.PUT, unique_fields=["number"])

    assert run(
        put, {"number": "C1"}, {"number": "C1", "year": 2}, {"number": "C2", "year": 3}
    ) == [[("/year", "required")], Kind.UPDATED, Kind.CREATED]


def test_rows_outside_the_queryset_are_not_found() -> None:
    ours = Product.objects.create(code="A", serial=1)
    theirs = Product.objects.create(code="B", serial=2, tenant="theirs")
    world = target(ProductSerializer)
    queryset = Product.objects.filter(tenant="ours")
    world = type(world)(get_serializer=world.get_serializer, queryset=queryset)
    missing = [[("/id", "does_not_exist")]]

    for verb in (Verb.UPDATE, Verb.REPLACE):
        operation = Write(world, verb=verb)
        data = {"code": "C", "serial": 3, "price": 9}
        assert run(operation, {"id": theirs.pk, **data}) == missing

    assert run(Delete(world), {"id": theirs.pk}) == missing
    assert run(Delete(world), {"code": "B"}) == [[("/code", "does_not_exist")]]
    assert run(Delete(world), {"id": ours.pk}) == [Kind.DELETED]
    assert [*Product.objects.values_list("code", "price")] == [("B", 0)]


def test_a_key_that_is_written_is_found_by_it_too() -> None:
    Country.objects.create(iso="de", name="?")
    update = Write(target(CountrySerializer), verb=Verb.UPDATE)

    assert run(update, {"iso": "de", "name": "Germany"}, {"iso": "fr"}) == [
        Kind.UPDATED,
        [("/iso", "does_not_exist")],
    ]


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.UPDATE, Verb.REPLACE])
def test_queries_do_not_grow_with_the_rows(verb: Verb) -> None:
    def queries(count: int, start: int) -> int:
        accounts = [Account.objects.create(name=f"{start}-{n}") for n in range(count)]
        contracts = [
            Contract.objects.create(number=f"{start}-{n}", year=n) for n in range(count)
        ]
        rows = [
            {
                "id": contract.pk,
                "number": f"{contract.number}{'new' if verb is Verb.CREATE else ''}",
                "year": 7000 + n,
                "account": account.pk,
            }
            for n, (contract, account) in enumerate(
                zip(contracts, accounts, strict=True)
            )
        ]
        operation = Write(target(ContractSerializer), verb=verb)

        with CaptureQueriesContext(
            connection,
        ) as context:
            said = run(operation, *rows)

        assert set(said) == {Kind.CREATED if verb is Verb.CREATE else Kind.UPDATED}

        return len(context)

    if connection.vendor == "mysql":
        pytest.skip("its rows are inserted and updated in its own way")

    assert queries(40, 1000) == queries(5, 2000)


def test_row_by_row_it_is_the_same() -> None:
    stored = Shouted.objects.create(name="a")
    update = Write(target(ShoutedSerializer), verb=Verb.UPDATE)
    assert update.mode == "rows"

    assert run(update, {"id": stored.pk, "name": "b"}, {"name": "c"}, {"id": 0}) == [
        Kind.UPDATED,
        [("/id", "required")],
        [("/id", "does_not_exist")],
    ]
    stored.refresh_from_db()
    assert stored.shout == "B"


# ---- delete


def scalar_rows(*values: Any) -> list[Row]:
    error = RowError("", "invalid", "Invalid data.")

    return [
        Row(number=n, line=None, data=value, errors=() if value is dict else (error,))
        for n, value in enumerate(values, start=1)
    ]


def delete(serializer_class: Any, *values: Any, **options: Any) -> list[Any]:
    operation = Delete(target(serializer_class, **options))

    with transaction.atomic():
        outcomes = operation.run(
            [
                row if isinstance(row.data, dict) else scalar_rows(row.data)[0]
                for row in rows_of(*values)
            ]
        )

    return [
        (o.kind, o.pk)
        if o.kind is not Kind.FAILED
        else [(error.pointer, error.code) for error in o.errors]
        for o in outcomes
    ]


def test_rows_are_deleted_by_id_or_by_any_unique_set() -> None:
    a, b, c, _ = (
        Product.objects.create(code=code, serial=n, shelf="x", slot=n)
        for n, code in enumerate("ABCD")
    )

    said = delete(
        ProductSerializer, a.pk, str(b.pk), {"shelf": "x", "slot": 2}, {"id": a.pk}, 0
    )

    assert said == [
        (Kind.DELETED, a.pk),
        (Kind.DELETED, b.pk),
        (Kind.DELETED, c.pk),
        [("/id", "does_not_exist")],
        [("/id", "does_not_exist")],
    ]
    assert [product.code for product in Product.objects.all()] == ["D"]


def test_what_names_no_row_says_what_it_lacks() -> None:
    assert delete(
        ProductSerializer, None, "x", 1.5, {"price": 1}, {}, {"id": None}
    ) == [
        [("", "invalid")],
        [("/id", "invalid")],
        [("", "invalid")],
        [("/id", "required")],
        [("/id", "required")],
        [("/id", "required")],
    ]


def test_given_fields_are_the_key() -> None:
    Product.objects.create(code="A", serial=1)
    operation = Delete(target(ProductSerializer), unique_fields=["code"])

    assert run(operation, {"code": "A", "id": 9}) == [Kind.DELETED]

    with pytest.raises(UniqueFieldsError):
        Delete(target(ProductSerializer), unique_fields=["price"])


def test_what_others_refer_to_stays_and_the_rest_goes() -> None:
    status = [Status.objects.create(code=f"s{n}") for n in range(6)]
    account = Account.objects.create(name="a")
    Transaction.objects.create(
        account=account, status=status[4], datetime="2026-01-01T00:00Z", amount=1
    )

    class StatusSerializer(CountrySerializer):
        class Meta:
            model = Status
            fields = ["id", "code"]

    said = delete(StatusSerializer, *(each.pk for each in status))

    assert said[4] == [("", "protected")]
    assert [each for each in said if each[0] is Kind.DELETED] == [
        (Kind.DELETED, each.pk) for each in status if each is not status[4]
    ]
    assert [*Status.objects.all()] == [status[4]]


def test_folders_go_with_their_parents_one_after_the_other() -> None:
    top = Folder.objects.create(code="top")
    child = Folder.objects.create(code="child", parent=top)
    other = Folder.objects.create(code="other")
    operation = Delete(target(FolderSerializer))
    assert (operation.mode, operation.reason) == (
        "rows",
        "rows of Folder refer to each other",
    )

    assert delete(FolderSerializer, top.pk, child.pk, other.pk) == [
        (Kind.DELETED, top.pk),
        [("/id", "does_not_exist")],
        (Kind.DELETED, other.pk),
    ]


def test_many_to_many_rows_go_along() -> None:
    article = Article.objects.create(slug="a", title="A")
    article.tags.create(name="t")

    assert delete(ArticleSerializer, article.pk) == [(Kind.DELETED, article.pk)]
    assert not Article.tags.through.objects.exists()


def test_receivers_hear_of_each_row() -> None:
    heard: list[int] = []
    products = [Product.objects.create(code=str(n), serial=n) for n in range(3)]
    pks = [product.pk for product in products]

    def receiver(instance: models.Model, **_: Any) -> None:
        heard.append(instance.pk)

    post_delete.connect(receiver, sender=Product)

    try:
        delete(ProductSerializer, *pks)
    finally:
        post_delete.disconnect(receiver, sender=Product)

    assert sorted(heard) == pks


def test_the_views_own_way_to_destroy_is_used_and_may_refuse() -> None:
    keep, drop = (Product.objects.create(code=c, serial=n) for n, c in enumerate("AB"))

    def perform_destroy(instance: Product) -> None:
        if instance.code == "A":
            raise PermissionDenied

        instance.delete()

    assert delete(
        ProductSerializer, keep.pk, drop.pk, perform_destroy=perform_destroy
    ) == [[("", "permission_denied")], (Kind.DELETED, drop.pk)]


def test_permissions_are_asked_for_each_row() -> None:
    keep, drop = (Product.objects.create(code=c, serial=n) for n, c in enumerate("AB"))

    def check(instance: models.Model) -> None:
        if instance == keep:
            raise PermissionDenied

    assert delete(ProductSerializer, keep.pk, drop.pk, check_object=check) == [
        [("", "permission_denied")],
        (Kind.DELETED, drop.pk),
    ]


def test_deleting_many_takes_few_queries() -> None:
    def queries(count: int, start: int) -> int:
        pks = [
            Product.objects.create(code=f"{start}-{n}", serial=start + n).pk
            for n in range(count)
        ]

        with CaptureQueriesContext(connection) as context:
            assert all(
                kind is Kind.DELETED for kind, _ in delete(ProductSerializer, *pks)
            )

        return len(context)

    assert queries(50, 1000) == queries(5, 2000)
