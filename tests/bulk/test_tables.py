"""Tables of every kind: what the database adds, divides, compares, stores elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections, models, transaction
from django.test import override_settings
from rest_framework import VERSION, serializers

from django_partstream.bulk.deletion import Delete
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.verb import Verb
from tests.app.models import Account, Article, Contract, Parcel, Product, Seat, Tag
from tests.app.serializers import (
    ArticleSerializer,
    ContractSerializer,
    ParcelSerializer,
    ProductSerializer,
    SeatSerializer,
)
from tests.bulk.test_interplay import rows_of, run, target

pytestmark = [pytest.mark.database, pytest.mark.django_db]

needs_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="PostgreSQL has these"
)


def test_what_the_database_makes_is_left_to_it() -> None:
    upsert = Write(target(ParcelSerializer), unique_fields=["code"])
    assert upsert.mode == "batch"

    assert run(
        upsert,
        {"code": "a", "width": 3, "labels": [1, {"x": None}]},
        {"code": "b", "width": 4, "height": 5, "area": 1},
        {"code": "a", "width": 7},
    ) == [Kind.CREATED, Kind.CREATED, Kind.UPDATED]
    assert [*Parcel.objects.order_by("code").values_list("area", "labels")] == [
        (14, [1, {"x": None}]),
        (20, []),
    ]


def test_nulls_of_a_key_are_distinct_unless_the_constraint_says_otherwise() -> None:
    products = Write(target(ProductSerializer), unique_fields=["shelf", "slot"])

    assert run(
        products,
        {"code": "A", "serial": 1, "shelf": "x", "slot": None},
        {"code": "B", "serial": 2, "shelf": "x", "slot": None},
    ) == [Kind.CREATED, Kind.CREATED]

    seats = [{"hall": "x", "number": None, "guest": name} for name in "ab"]
    is_known = connection.features.supports_nulls_distinct_unique_constraints
    said = run(Write(target(SeatSerializer), verb=Verb.CREATE), *seats)

    if is_known or VERSION >= "3.18":
        assert said == [Kind.CREATED, [("", "unique")]]


SEATS: list[dict[str, Any]] = [
    {"hall": "x", "number": None, "guest": "a"},
    {"hall": "x", "number": 1, "guest": "b"},
    {"hall": "y", "number": None, "guest": "c"},
    {"hall": "y", "number": 2, "guest": "d"},
]


@pytest.mark.parametrize("side_effects", ["auto", "rows"])
@pytest.mark.parametrize("text", [False, True])
def test_nulls_that_are_not_distinct_are_matched(side_effects: Any, text: bool) -> None:
    """On databases, too, that do not know of it: the model says so."""

    def seats(verb: Verb = Verb.UPSERT) -> Write:
        world = target(SeatSerializer, side_effects=side_effects, text=text)

        return Write(world, verb=verb, unique_fields=["hall", "number"])

    def cells(seat: dict[str, Any], **changes: Any) -> dict[str, Any]:
        row = {**seat, **changes}

        return {k: str(v or "") for k, v in row.items()} if text else row

    assert run(seats(), *map(cells, SEATS[:3])) == [Kind.CREATED] * 3
    assert run(
        seats(),
        cells(SEATS[0], guest="A"),
        cells(SEATS[1], guest="B"),
        cells(SEATS[2]),
        cells(SEATS[3]),
        cells(SEATS[0], guest="last"),
    ) == [
        Kind.UPDATED,
        Kind.UPDATED,
        Kind.UNCHANGED,
        Kind.CREATED,
        Kind.UPDATED,
    ]
    stored = Seat.objects.order_by("guest").values_list("hall", "number", "guest")
    assert [*stored] == [
        ("x", 1, "B"),
        ("y", None, "c"),
        ("y", 2, "d"),
        ("x", None, "last"),
    ]

    unknown = cells(SEATS[0], hall="z")
    assert run(seats(Verb.UPDATE), cells(SEATS[2], guest="C"), unknown) == [
        Kind.UPDATED,
        [("", "does_not_exist")],
    ]
    deletion = Delete(
        target(SeatSerializer, text=text), unique_fields=["hall", "number"]
    )
    kept = cells({"hall": "x", "number": 1})
    assert run(deletion, cells({"hall": "x", "number": None}), kept) == [
        Kind.DELETED,
        Kind.DELETED,
    ]


def test_a_null_key_of_another_world_is_a_conflict_where_it_is_unique() -> None:
    if not connection.features.supports_nulls_distinct_unique_constraints:
        pytest.skip("this database does not know of it, so nobody is in the way")

    Seat.objects.create(hall="x", guest="theirs")
    seats = target(SeatSerializer)
    ours = dataclasses.replace(seats, queryset=Seat.objects.exclude(guest="theirs"))

    said = run(Write(ours, unique_fields=["hall", "number"]), *SEATS)

    assert said == [[("", "conflict")], *[Kind.CREATED] * 3]
    assert Seat.objects.filter(guest="theirs").count() == 1


@pytest.mark.parametrize("side_effects", ["auto", "rows"])
def test_documents_that_nobody_could_be_answered_with_are_refused(
    side_effects: Any,
) -> None:
    world = target(ParcelSerializer, side_effects=side_effects)

    assert run(
        Write(world, verb=Verb.CREATE),
        {"code": "a", "width": 1, "labels": ["\ud83d\ude00"]},
        {"code": "b", "width": 1, "labels": [{"\ud800": 1}]},
        {"code": "c", "width": 1, "labels": ["\\ud800"]},
        {"code": "d\ud800", "width": 1},
    ) == [
        Kind.CREATED,
        [("", "invalid")],
        Kind.CREATED,
        [("/code", "surrogate_characters_not_allowed")],
    ]


class Measurement(models.Model):
    """Divided by day, which is part of every unique key."""

    sensor = models.CharField(max_length=10)
    day = models.DateField()
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "app"
        managed = False
        unique_together = [("sensor", "day")]

    def __str__(self) -> str:
        return self.sensor


class MeasurementSerializer(serializers.ModelSerializer[Measurement]):
    class Meta:
        model = Measurement
        fields = ["id", "sensor", "day", "value"]


PARTITIONED = """
    CREATE TABLE app_measurement (
        id bigint GENERATED BY DEFAULT AS IDENTITY, sensor varchar(10) NOT NULL,
        day date NOT NULL, value integer NOT NULL,
        PRIMARY KEY (id, day), UNIQUE (sensor, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE app_measurement_1 PARTITION OF app_measurement
        FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
    CREATE TABLE app_measurement_2 PARTITION OF app_measurement
        FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
"""


@needs_postgresql
def test_partitioned_tables_are_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONED)

    upsert = Write(target(MeasurementSerializer), unique_fields=["sensor", "day"])
    assert upsert.mode == "batch"

    assert run(
        upsert,
        {"sensor": "a", "day": "2024-01-05", "value": 1},
        {"sensor": "a", "day": "2024-02-05", "value": 2},
        # There is no partition for it.
        {"sensor": "a", "day": "2024-03-05", "value": 3},
        {"sensor": "a", "day": "2024-01-05", "value": 4},
    ) == [Kind.CREATED, Kind.CREATED, [("", "invalid")], Kind.UPDATED]
    assert run(
        upsert,
        {"sensor": "a", "day": "2024-01-05", "value": 4},
        {"sensor": "b", "day": "2024-01-05"},
        {"sensor": "a", "day": "2024-02-05", "value": 9},
    ) == [Kind.UNCHANGED, Kind.CREATED, Kind.UPDATED]

    moved = Measurement._default_manager.get(sensor="a", day="2024-01-05")
    update = Write(target(MeasurementSerializer), verb=Verb.UPDATE)
    assert run(update, {"id": moved.pk, "day": "2024-02-06"}) == [Kind.UPDATED]
    assert run(
        Delete(target(MeasurementSerializer)),
        {"id": moved.pk},
        {"sensor": "b", "day": "2024-01-05"},
    ) == [Kind.DELETED, Kind.DELETED]
    assert [*Measurement._default_manager.values_list("sensor", "value")] == [("a", 9)]


@needs_postgresql
def test_arrays_and_documents_are_columns() -> None:
    from django.contrib.postgres.fields import ArrayField

    class Box(models.Model):
        name = models.CharField(max_length=10, unique=True)
        sizes = ArrayField(models.IntegerField(), default=list, blank=True)
        words = ArrayField(models.CharField(max_length=5), null=True)
        extra = models.JSONField(null=True)

        class Meta:
            app_label = "elsewhere"

        def __str__(self) -> str:
            return self.name

    class BoxSerializer(serializers.ModelSerializer[Box]):
        class Meta:
            model = Box
            fields = ["id", "name", "sizes", "words", "extra"]

    with connection.schema_editor() as editor:
        editor.create_model(Box)

    upsert = Write(target(BoxSerializer), unique_fields=["name"])
    assert upsert.mode == "batch"

    assert run(
        upsert,
        {"name": "a", "sizes": [1, "2"], "words": ["x"], "extra": {"a": [1]}},
        {"name": "b", "words": None, "extra": None},
        {"name": "c", "words": ["too long"]},
        {"name": "d", "sizes": ["x"]},
    ) == [
        Kind.CREATED,
        Kind.CREATED,
        [("/words/0", "max_length")],
        [("/sizes/0", "invalid")],
    ]
    assert run(
        upsert,
        {"name": "a", "sizes": [1, 2], "words": ["x"], "extra": {"a": [1]}},
        {"name": "b", "sizes": [3], "words": ["y"], "extra": [1.0]},
    ) == [Kind.UNCHANGED, Kind.UPDATED]
    assert [
        *Box._default_manager.order_by("name").values_list("sizes", "words", "extra")
    ] == [
        ([1, 2], ["x"], {"a": [1]}),
        ([3], ["y"], [1.0]),
    ]


class Elsewhere:
    """Has the tests' models in another database, which is read by another name."""

    def db_for_read(self, model: Any, **_: Any) -> str | None:
        return "replica" if model._meta.app_label == "app" else None

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "other" if model._meta.app_label == "app" else None

    def allow_relation(self, *_: Any, **__: Any) -> bool:
        return True


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """A second database, and a connection that reads it and knows what is committed."""
    if connection.vendor != "sqlite":
        pytest.skip("a second database is a second file")

    name = str(tmp_path / "other.sqlite3")
    base = {**connections.settings["default"], "NAME": name, "OPTIONS": {}}

    for alias in ("other", "replica"):
        connections.settings[alias] = base
        # Not by `ensure_connection`, which Django's tests keep from other databases.
        connections[alias].connect()

    try:
        call_command("migrate", database="other", run_syncdb=True, verbosity=0)
        yield "other"
    finally:
        for alias in ("other", "replica"):
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]


def run_on(using: str, operation: Any, *data: Any) -> Any:
    with transaction.atomic(using=using):
        return run(operation, *data)


def test_routers_are_obeyed(other: str) -> None:
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        account = Account.objects.using(other).create(name="a")
        tag = Tag.objects.using(other).create(name="t")
        rows = [
            {"number": "C1", "year": 1, "account": account.pk},
            {"number": "C2", "year": 2, "account": account.pk + 1},
            {"number": "C1", "year": 3},
        ]
        world = routed(ContractSerializer)
        said = run_on(other, Write(world, verb=Verb.CREATE), *rows)
        # The replica does not know of the first row; who writes does.
        assert said == [
            Kind.CREATED,
            [("/account", "does_not_exist")],
            [("/number", "unique")],
        ]
        upsert = Write(world, unique_fields=["number"])
        assert run_on(other, upsert, {"number": "C1", "year": 3}, rows[0]) == [
            Kind.UPDATED,
            Kind.UPDATED,
        ]
        articles = Write(routed(ArticleSerializer), unique_fields=["slug"])
        assert articles.mode == "batch"
        article = {"slug": "a", "title": "A", "tags": [tag.pk]}
        assert run_on(other, articles, article) == [Kind.CREATED]
        assert run_on(other, articles, article) == [Kind.UNCHANGED]
        assert Article.objects.using(other).get().tags.count() == 1
        pk = Contract.objects.using(other).get().pk
        assert run_on(other, Delete(world), {"id": pk}) == [Kind.DELETED]
        assert not Contract.objects.using(other).exists()

    assert not Contract.objects.using("default").exists()
    assert not Article.objects.using("default").exists()


def routed(serializer_class: Any, **given: Any) -> Target:
    world = target(serializer_class)

    return Target(
        get_serializer=world.get_serializer,
        queryset=serializer_class.Meta.model.objects.using("other"),
        **given,
    )


def test_rows_that_would_be_saved_elsewhere_are_refused(other: str) -> None:
    """Without a router, `serializer.save()` creates in the default database."""
    world = routed(ContractSerializer, side_effects="rows")

    with pytest.raises(ImproperlyConfigured) as refused:
        Write(world, verb=Verb.CREATE)

    assert str(refused.value) == (
        "Rows of Contract are written one by one (bulk_side_effects is 'rows'), and "
        "serializer.save() would create them in 'default', but the view's queryset is "
        "of 'other'. Let a database router say db_for_write, or write together."
    )
    assert Write(world, verb=Verb.UPDATE).mode == "rows"
    assert Write(routed(ContractSerializer), verb=Verb.CREATE).mode == "batch"


@contextlib.contextmanager
def counting(*words: str) -> Iterator[list[str]]:
    """The statements that begin so."""
    seen: list[str] = []

    def count(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if str(sql).startswith(words):
            seen.append(str(sql))

        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield seen


@pytest.mark.parametrize("place", [0, 77, 127])
@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.UPDATE])
def test_one_bad_row_is_found_by_halving(verb: Verb, place: int) -> None:
    """What only the database refuses: a price below nought."""
    n = 128
    rows = [{"code": f"{i}", "serial": i, "price": 1} for i in range(n)]
    world = target(ProductSerializer)

    if verb is Verb.UPDATE:
        run(Write(world, verb=Verb.CREATE), *rows)
        pks = dict(Product.objects.values_list("code", "pk"))
        rows = [{"id": pks[f"{i}"], "price": 2} for i in range(n)]

    rows[place]["price"] = -1

    with counting("INSERT", "UPDATE") as statements:
        said = run(Write(world, verb=verb), *rows)

    assert [i for i, each in enumerate(said) if isinstance(each, list)] == [place]
    assert said[place] == [("", "invalid")]

    if connection.vendor != "mysql":
        # There, a row that is new is a statement.
        assert len(statements) <= 2 * 7 + 2


@needs_postgresql
def test_what_is_referred_to_vanishes_between_look_up_and_write() -> None:
    """Django's foreign keys are deferred, and would only be missed at COMMIT."""
    kept, gone = Account.objects.create(name="a"), Account.objects.create(name="b")
    n = 64
    rows = [{"number": f"{i}", "year": i, "account": kept.pk} for i in range(n)]
    rows[40]["account"] = gone.pk

    def vanish(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        # Each time: with what was refused, this is undone as well.
        if str(sql).startswith("INSERT"):
            Account.objects.filter(pk=gone.pk).delete()

        return execute(sql, params, many, context)

    with counting("INSERT") as statements, connection.execute_wrapper(vanish):
        operation = Write(target(ContractSerializer), verb=Verb.CREATE)

        with transaction.atomic():
            outcomes = operation.run(rows_of(*rows))

    failed = [outcome for outcome in outcomes if outcome.kind is Kind.FAILED]
    assert [(each.row, each.errors[0].code) for each in failed] == [
        (41, "does_not_exist")
    ]
    assert failed[0].errors[0].detail == (
        "This row refers to an object that does not exist."
    )
    assert Contract.objects.count() == n - 1
    assert len(statements) <= 2 * 6 + 2
