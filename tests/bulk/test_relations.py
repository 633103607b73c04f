"""Relations of every kind: written as DRF writes them, in a few queries for a batch."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.signals import m2m_changed
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from django_partstream.bulk import judge
from django_partstream.bulk.fetched import shown_relations
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.verb import Verb
from tests.app.models import Account, Article, Contract, Person, Tag, Transaction
from tests.app.serializers import (
    ArticleSerializer,
    LinkedArticleSerializer,
    LinkedContractSerializer,
    MemberSerializer,
    NestedArticleSerializer,
    OurArticleSerializer,
    PersonSerializer,
    SluggedArticleSerializer,
    TenantContractSerializer,
    WritableArticleSerializer,
)
from tests.bulk.test_against_drf import (
    ODD,
    SETTINGS,
    RolledBackError,
    a_row,
    mostly,
    row_by_row,
    together,
)
from tests.bulk.test_interplay import run
from tests.bulk.test_side_effects import receiving

pytestmark = [pytest.mark.database, pytest.mark.django_db]

CONTEXT = {"prefix": "t", "tenant": "ours"}


def target(serializer_class: Any, **given_by_view: Any) -> Target:
    return Target(
        get_serializer=lambda *args, **kwargs: serializer_class(
            *args, context=CONTEXT, **kwargs
        ),
        queryset=serializer_class.Meta.model._default_manager.all(),
        **given_by_view,
    )


def tags_of(slug: str) -> set[str]:
    return set(Article.objects.get(slug=slug).tags.values_list("name", flat=True))


def test_links_are_sets() -> None:
    a, b, c = (Tag.objects.create(name=name) for name in "abc")
    upsert = Write(target(ArticleSerializer), unique_fields=["slug"])
    assert upsert.mode == "batch"

    assert run(
        upsert,
        {"slug": "one", "title": "1", "tags": [a.pk, b.pk, a.pk]},
        {"slug": "two", "title": "2"},
        {"slug": "two", "tags": [c.pk]},
    ) == [Kind.CREATED, Kind.CREATED, Kind.UPDATED]
    assert (tags_of("one"), tags_of("two")) == ({"a", "b"}, {"c"})

    assert run(
        upsert,
        {"slug": "one", "tags": [b.pk, c.pk]},
        {"slug": "two", "title": "2", "tags": [c.pk]},
    ) == [Kind.UPDATED, Kind.UNCHANGED]
    assert (tags_of("one"), tags_of("two")) == ({"b", "c"}, {"c"})

    # Who does not speak of them leaves them alone; nothing is said by an empty list.
    assert run(upsert, {"slug": "one", "title": "x"}, {"slug": "two", "tags": []}) == [
        Kind.UPDATED,
        Kind.UPDATED,
    ]
    assert (tags_of("one"), tags_of("two")) == ({"b", "c"}, set())


TAGS = st.lists(
    mostly(st.sampled_from([71, 72, "72", 73]), st.sampled_from([70, "x", None, True])),
    max_size=3,
)


@pytest.mark.parametrize("serializer_class", [ArticleSerializer, OurArticleSerializer])
@SETTINGS
@given(
    rows=st.lists(
        a_row(
            slug=st.sampled_from(["a", "b", "c"]),
            title=mostly(st.just("t"), ODD),
            tags=mostly(TAGS, ODD),
        ),
        max_size=6,
    ),
    size=st.integers(1, 6),
)
def test_links_come_out_as_row_by_row(
    serializer_class: Any, rows: list[dict[str, Any]], size: int
) -> None:
    class InContext(serializer_class):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["context"] = CONTEXT
            super().__init__(*args, **kwargs)

    def outcome(write: Any) -> Any:
        found: Any = None

        try:
            with transaction.atomic():
                for pk in (71, 72, 73):
                    Tag.objects.create(pk=pk, name=f"t{pk}")

                article = Article.objects.create(slug="a", title="old")
                article.tags.set([71])
                said = write()
                slugs = dict(Article.objects.values_list("pk", "slug"))
                found = (
                    [
                        # DRF's way to count a change knows of columns alone.
                        (what if kind is Kind.FAILED else slugs[what])
                        for kind, what in said
                    ],
                    {slug: (title, tags_of(slug)) for slug, title in titles()},
                )
                raise RolledBackError
        except RolledBackError:
            return found

    def titles() -> Any:
        return Article.objects.values_list("slug", "title")

    def batched() -> Any:
        upsert = Write(target(serializer_class), unique_fields=["slug"])
        assert upsert.mode == "batch"

        return together(upsert, rows, size)

    assert outcome(batched) == outcome(
        lambda: row_by_row(InContext, Article.objects.all(), ["slug"], rows)
    )


def pks(count: int) -> Any:
    return [Account.objects.create(name=f"{n}").pk for n in range(count)]


def tags(start: int, count: int) -> list[Tag]:
    return [Tag.objects.create(name=f"t{start}-{n}") for n in range(count)]


def _contracts(make: Any) -> Any:
    def rows(start: int, count: int) -> list[dict[str, Any]]:
        return [
            {"number": f"{start}-{n}", "year": 2000 + n, "account": make(pk)}
            for n, pk in enumerate(pks(count))
        ]

    return rows


def _articles(make: Any) -> Any:
    def rows(start: int, count: int) -> list[dict[str, Any]]:
        known = [make(tag) for tag in tags(start, count + 2)]

        return [
            {"slug": f"{start}-{n}", "title": f"{n}", "tags": known[n : n + 3]}
            for n in range(count)
        ]

    return rows


KINDS: dict[str, tuple[Any, Any]] = {
    "hyperlink": (
        LinkedContractSerializer,
        _contracts(lambda pk: f"http://testserver/api/accounts/{pk}/"),
    ),
    "hyperlinks": (
        LinkedArticleSerializer,
        _articles(lambda tag: f"/api/tags/{tag.name}/"),
    ),
    "keys": (ArticleSerializer, _articles(lambda tag: tag.pk)),
    "keys of ours": (OurArticleSerializer, _articles(lambda tag: tag.pk)),
    "slugs": (SluggedArticleSerializer, _articles(lambda tag: tag.name)),
    "a key of ours": (TenantContractSerializer, _contracts(lambda pk: pk)),
    "beside what is shown": (NestedArticleSerializer, _articles(lambda tag: tag.pk)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_queries_do_not_grow_with_the_rows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serializer_class, make = KINDS[kind]
    key = "slug" if "slug" in serializer_class.Meta.fields else "number"
    looked: list[Any] = []
    monkeypatch.setattr(judge.Judge, "judge", lambda _, row: looked.append(row))

    def queries(rows: list[dict[str, Any]], expected: Kind) -> int:
        upsert = Write(target(serializer_class), unique_fields=[key])
        assert upsert.mode == "batch"

        with CaptureQueriesContext(connection) as context:
            assert set(run(upsert, *rows)) == {expected}

        return len(context)

    small, large = make(1, 4), make(2, 40)
    created = queries(small, Kind.CREATED), queries(large, Kind.CREATED)

    for rows in (small, large):
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
            name = "tags" if "tags" in row else "account"
            row[name], row["title"] = other[name], "new"

    updated = queries(small, Kind.UPDATED), queries(large, Kind.UPDATED)
    # No row was looked at by itself.
    assert looked == []

    if connection.vendor != "mysql":
        # There, rows are inserted and updated in its own way.
        assert created[0] == created[1]
        assert updated[0] == updated[1]


def test_bad_links_are_drfs_errors_and_take_no_query_each() -> None:
    tag = Tag.objects.create(name="t")
    account = Account.objects.create(name="a")

    def queries(serializer_class: Any, *rows: Any) -> tuple[int, Any]:
        operation = Write(target(serializer_class), verb=Verb.CREATE)

        with CaptureQueriesContext(connection) as context:
            said = run(operation, *rows)

        return len(context), said

    bad = [f"/api/accounts/{account.pk + n}/" for n in range(1, 9)]
    bad += ["/nowhere/", f"/api/contracts/{account.pk}/"]
    count, said = queries(
        LinkedContractSerializer,
        *({"number": f"{n}", "year": 1, "account": a} for n, a in enumerate(bad)),
    )
    assert said == [
        *([[("/account", "does_not_exist")]] * 8),
        [("/account", "no_match")],
        [("/account", "incorrect_match")],
    ]
    # Savepoints and the look-up; PostgreSQL is told to check at once.
    assert count <= 9

    count, said = queries(
        ArticleSerializer,
        *({"slug": f"{n}", "title": "t", "tags": [tag.pk + n]} for n in range(9)),
        {"slug": "x", "title": "t", "tags": "no list"},
    )
    assert said == [
        Kind.CREATED,
        *([[("/tags", "does_not_exist")]] * 8),
        [("/tags", "not_a_list")],
    ]
    assert count <= 14


class Counted(serializers.PrimaryKeyRelatedField[Account]):
    asked = 0

    def get_queryset(self) -> Any:
        type(self).asked += 1

        return Account.objects.filter(tenant=self.context["tenant"])


class OfTheRow(Counted):
    """Looks at the row that it is in."""

    asked = 0

    def get_queryset(self) -> Any:
        tenant = self.parent.initial_data.get("number", "")

        return super().get_queryset().filter(name=tenant)


class OfTheContext(Counted):
    """Looks at what the serializer has noted of the row."""

    asked = 0

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(name=self.context.get("seen", ""))


def with_account(field: Any, **more: Any) -> Any:
    meta = type(
        "Meta", (), {"model": Contract, "fields": ["number", "year", "account"]}
    )

    return type(
        "CountedSerializer",
        (serializers.ModelSerializer,),
        {"account": field(required=False), "Meta": meta, **more},
    )


def test_a_queryset_of_the_request_is_built_once_for_a_batch() -> None:
    ours = Account.objects.create(name="a")
    theirs = Account.objects.create(name="b", tenant="theirs")
    operation = Write(target(with_account(Counted)), verb=Verb.CREATE)
    rows = [{"number": f"{n}", "year": n, "account": ours.pk} for n in range(20)]

    Counted.asked = 0
    said = run(operation, *rows, {"number": "x", "year": 1, "account": theirs.pk})

    assert said == [*([Kind.CREATED] * 20), [("/account", "does_not_exist")]]
    assert Counted.asked == 1


def test_what_was_found_is_looked_up_again_with_the_first_rows_of_a_transaction() -> (
    None
):
    ann, bob, eve = (Account.objects.create(name=name) for name in ("a", "b", "e"))
    field = functools.partial(
        serializers.PrimaryKeyRelatedField, queryset=Account.objects.all()
    )
    operation = Write(target(with_account(field)), verb=Verb.CREATE)

    def looked_up(*accounts: Account) -> int:
        rows = [
            {"number": f"{Contract.objects.count()}-{n}", "year": n, "account": a.pk}
            for n, a in enumerate(accounts)
        ]

        with CaptureQueriesContext(connection) as queries:
            run(operation, *rows)

        return sum(
            one["sql"].startswith("SELECT") and "app_account" in one["sql"]
            for one in queries
        )

    operation.begin()
    assert [looked_up(ann, bob), looked_up(eve), looked_up(ann, eve)] == [1, 1, 0]
    operation.begin()
    assert [looked_up(ann), looked_up(bob, eve)] == [1, 0]
    operation.begin()
    Account.objects.filter(pk=eve.pk).delete()
    [_, said] = run(
        operation,
        {"number": "x", "year": 1, "account": ann.pk},
        {"number": "y", "year": 1, "account": eve.pk},
    )
    assert said == [("/account", "does_not_exist")]


def test_a_queryset_of_the_row_is_that_of_the_row() -> None:
    ours = Account.objects.create(name="C1")
    operation = Write(target(with_account(OfTheRow)), verb=Verb.CREATE)

    assert run(
        operation,
        {"number": "C1", "year": 1, "account": ours.pk},
        {"number": "C2", "year": 2, "account": ours.pk},
    ) == [Kind.CREATED, [("/account", "does_not_exist")]]


def test_a_queryset_of_what_a_hook_has_seen_is_that_of_the_row() -> None:
    def validate_number(self: Any, value: str) -> str:
        self.context["seen"] = value

        return value

    ours = Account.objects.create(name="C1")
    serializer_class = with_account(OfTheContext, validate_number=validate_number)
    operation = Write(target(serializer_class), verb=Verb.CREATE)

    assert run(
        operation,
        {"number": "C2", "year": 2, "account": ours.pk},
        {"number": "C1", "year": 1, "account": ours.pk},
    ) == [[("/account", "does_not_exist")], Kind.CREATED]
    CONTEXT.pop("seen")


def reason(serializer_class: Any, **given_by_view: Any) -> str:
    return Write(target(serializer_class, **given_by_view), verb=Verb.CREATE).reason


def test_what_more_than_stores_links_is_done_row_by_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import models

    assert reason(PersonSerializer) == "Person.friends is symmetrical"
    assert reason(MemberSerializer) == "Person.clubs goes through Membership"

    class Hiding(models.Manager[Tag]):
        def get_queryset(self) -> Any:
            return super().get_queryset().exclude(name="hidden")

    with receiving(m2m_changed, on_change, Article.tags.through):
        assert reason(ArticleSerializer) == (
            "on_change receives m2m_changed of Article.tags"
        )
        skipping = Write(
            target(ArticleSerializer, side_effects="skip"), verb=Verb.CREATE
        )
        assert skipping.mode == "batch"

    manager = Hiding()
    manager.model = Tag
    monkeypatch.setitem(vars(Tag._meta), "default_manager", manager)
    assert reason(ArticleSerializer) == "Article.tags leads to what Hiding shows"


def on_change(**_: Any) -> None:
    pass


def test_friends_are_friends_of_each_other() -> None:
    ann = Person.objects.create(name="ann")
    operation = Write(target(PersonSerializer), verb=Verb.CREATE)

    assert run(operation, {"name": "bob", "friends": [ann.pk]}) == [Kind.CREATED]
    assert [person.name for person in ann.friends.all()] == ["bob"]


def test_writable_nested_serializers_write_as_they_say() -> None:
    operation = Write(target(WritableArticleSerializer), unique_fields=["slug"])

    assert (operation.mode, operation.reason) == (
        "rows",
        "WritableArticleSerializer.create is overridden",
    )
    assert run(
        operation,
        {"slug": "a", "title": "A", "tags": [{"name": "x"}, {"name": "y"}]},
        {"slug": "b", "title": "B", "tags": [{"name": "x"}]},
        {"slug": "a", "tags": [{"name": "z"}]},
        {"slug": "c", "title": "C", "tags": [{}]},
    ) == [
        Kind.CREATED,
        [("/tags/0/name", "unique")],
        Kind.UPDATED,
        [("/tags/0/name", "required")],
    ]
    assert tags_of("a") == {"z"}
    assert Article.objects.count() == 1


def test_what_is_linked_vanishes_between_look_up_and_write() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("who writes is alone, or links with nobody are ignored")

    kept, gone = Tag.objects.create(name="kept"), Tag.objects.create(name="gone")

    def vanish(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        # Each time: with what was refused, this is undone as well.
        if sql.startswith('INSERT INTO "app_article"'):
            Tag.objects.filter(pk=gone.pk).delete()

        return execute(sql, params, many, context)

    operation = Write(target(ArticleSerializer), verb=Verb.CREATE)

    with connection.execute_wrapper(vanish):
        said = run(
            operation,
            {"slug": "a", "title": "A", "tags": [kept.pk]},
            {"slug": "b", "title": "B", "tags": [kept.pk, gone.pk]},
            {"slug": "c", "title": "C"},
        )

    assert said == [Kind.CREATED, [("", "does_not_exist")], Kind.CREATED]
    assert tags_of("a") == {"kept"}


def test_answers_show_what_is_linked(client: Client) -> None:
    tag = Tag.objects.create(name="t")

    response = client.post(
        "/api/articles/",
        [{"slug": "a", "title": "A", "tags": [tag.pk]}],
        content_type="application/json",
    )

    (article,) = response.json()
    assert response.headers["Bulk-Mode"] == "batch"
    assert article["all_tags"] == [{"id": tag.pk, "name": "t"}]


def test_answers_take_a_query_a_relation(client: Client) -> None:
    known = tags(1, 4)
    rows = [
        {"slug": f"a{n}", "title": "A", "tags": [tag.pk for tag in known[n % 3 :]]}
        for n in range(30)
    ]

    def queries(rows: Any) -> int:
        with CaptureQueriesContext(connection) as context:
            response = client.post(
                "/api/articles/", rows, content_type="application/json"
            )

        assert response.status_code == 201
        assert [len(row["all_tags"]) for row in response.json()] == [
            len(row["tags"]) for row in rows
        ]

        return len(context)

    assert queries(rows[:3]) == queries(rows[3:]) or connection.vendor == "mysql"


class ShownSerializer(serializers.ModelSerializer[Transaction]):
    class Meta:
        model = Transaction
        fields = ["id", "account", "account_name", "state", "status"]

    account_name = serializers.CharField(source="account.name", read_only=True)
    state: Any = serializers.SlugRelatedField(
        source="status", slug_field="code", read_only=True
    )
    status: Any = serializers.PrimaryKeyRelatedField(read_only=True)


class WholeSerializer(serializers.Serializer[Any]):
    transactions = ShownSerializer(source="transaction_set", many=True)
    secret = ShownSerializer(source="contract_set", many=True, write_only=True)
    odd = serializers.CharField(source="nowhere.at.all", read_only=True)
    own = serializers.SerializerMethodField()


def test_relations_are_followed_as_far_as_they_are_shown() -> None:
    assert shown_relations(ShownSerializer(), Transaction) == ("account", "status")
    assert shown_relations(WholeSerializer(many=True), Account) == (
        "transaction_set",
        "transaction_set__account",
        "transaction_set__status",
    )
    assert shown_relations(LinkedContractSerializer(), Contract) == ()
    assert shown_relations(LinkedArticleSerializer(), Article) == ("tags",)
