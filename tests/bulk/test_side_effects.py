"""What rows that are written together do not do, and who is told in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models.signals import post_save
from django.test import override_settings

from django_partstream.bulk.deletion import Delete
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.pipeline import Write
from django_partstream.bulk.verb import Verb
from django_partstream.signals import bulk_written
from tests.app.models import Product, Shouted
from tests.app.serializers import ProductSerializer, ShoutedSerializer
from tests.bulk.test_interplay import run, target

pytestmark = pytest.mark.django_db


@contextlib.contextmanager
def receiving(signal: Any, receiver: Any, sender: Any) -> Iterator[None]:
    signal.connect(receiver, sender=sender)

    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def on_save(**_: Any) -> None:
    pass


def test_by_default_whatever_saving_does_is_done() -> None:
    operation = Write(target(ShoutedSerializer), verb=Verb.CREATE)

    assert (operation.mode, operation.reason) == (
        "rows",
        "Shouted.save() is overridden",
    )
    run(operation, {"name": "a"})
    assert Shouted.objects.get().shout == "A"


def test_a_view_may_do_without() -> None:
    world = target(ShoutedSerializer, side_effects="skip")
    operation = Write(world, verb=Verb.CREATE)

    assert operation.mode == "batch"
    assert run(operation, {"name": "a"}) == [Kind.CREATED]
    assert Shouted.objects.get().shout == ""


def test_a_view_may_insist_on_rows() -> None:
    world = target(ProductSerializer, side_effects="rows")
    operation = Write(world, verb=Verb.CREATE)
    deletion = Delete(world)

    for each in (operation, deletion):
        assert (each.mode, each.reason) == ("rows", "bulk_side_effects is 'rows'")

    assert run(operation, {"code": "A", "serial": 1}) == [Kind.CREATED]
    assert run(deletion, {"code": "A"}) == [Kind.DELETED]


def test_hooks_are_never_left_out() -> None:
    def perform_create(serializer: Any) -> None:
        serializer.save(price=7)

    world = target(
        ProductSerializer, side_effects="skip", perform_create=perform_create
    )
    operation = Write(world, verb=Verb.CREATE)

    assert operation.mode == "rows"
    run(operation, {"code": "A", "serial": 1})
    assert Product.objects.get().price == 7


def test_only_the_hooks_of_the_verb_count() -> None:
    world = target(ProductSerializer, perform_create=on_save)

    assert Write(world, verb=Verb.UPDATE).mode == "batch"
    assert Write(world, verb=Verb.CREATE).mode == "rows"
    assert Write(world, unique_fields=["code"]).mode == "rows"


@pytest.mark.parametrize(
    ("ignored", "mode"),
    [
        ([], "rows"),
        (["tests.bulk.test_side_effects.on_save"], "batch"),
        (["tests.bulk"], "batch"),
        (["tests.bul"], "rows"),
        (["tests.bulk.test_side_effects.on"], "rows"),
    ],
)
def test_receivers_count_unless_they_are_ignored(ignored: Any, mode: str) -> None:
    with (
        receiving(post_save, on_save, Product),
        override_settings(PARTSTREAM={"IGNORE_RECEIVERS": ignored}),
    ):
        operation = Write(target(ProductSerializer), verb=Verb.CREATE)

        assert operation.mode == mode

        if mode == "rows":
            assert operation.reason == "on_save receives post_save of Product"


def test_one_signal_tells_of_a_batch_after_its_commit(
    django_capture_on_commit_callbacks: Any,
) -> None:
    heard: list[Any] = []

    def receiver(sender: Any, using: str, **pks: Any) -> None:
        pks.pop("signal")
        heard.append((sender, using, pks))

    old = Product.objects.create(code="A", serial=1)

    with receiving(bulk_written, receiver, Product):
        with django_capture_on_commit_callbacks(execute=True):
            upsert = Write(target(ProductSerializer), unique_fields=["code"])
            run(
                upsert,
                {"code": "A", "price": 2},
                {"code": "B", "serial": 2},
                {"code": "C"},
            )
            assert heard == []

        new = Product.objects.get(code="B").pk

        with django_capture_on_commit_callbacks(execute=True):
            run(Delete(target(ProductSerializer)), {"id": new}, {"id": 0})

        with django_capture_on_commit_callbacks(execute=True):
            run(upsert, {"code": "A", "price": 2})

    assert heard == [
        (Product, "default", {"created": [new], "updated": [old.pk], "deleted": []}),
        (Product, "default", {"created": [], "updated": [], "deleted": [new]}),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_fails_harms_nobody_and_a_rollback_is_not_told() -> None:
    heard: list[int] = []

    def receiver(**_: Any) -> None:
        heard.append(1)
        raise RuntimeError

    with receiving(bulk_written, receiver, Product):
        upsert = Write(target(ProductSerializer), unique_fields=["code"])
        run(upsert, {"code": "A", "serial": 1})

        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            run(upsert, {"code": "B", "serial": 2})
            raise ZeroDivisionError

    assert heard == [1]
