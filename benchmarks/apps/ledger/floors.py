"""What nobody who stores the same rows can beat: no HTTP, no validation.

Each view measures itself, so that the way to it does not count.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.http import JsonResponse

from benchmarks.meter import CPU, STATEMENTS

from .counting import Counter
from .models import Account, Category
from .payloads import ACCOUNTS, CATEGORIES, fields, row
from .serializers import MODELS, SERIALIZERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ("reset", "store", "validate")


def reset(request: HttpRequest) -> JsonResponse:
    """An empty table, but for every `step`-th of the first `count` rows."""
    table, count = request.GET["table"], int(request.GET["count"])
    model: Any = MODELS[table]
    step = int(request.GET.get("step", "0"))

    with transaction.atomic():
        if not Account.objects.exists():
            Account.objects.bulk_create(Account(name=f"{n}") for n in range(ACCOUNTS))
            Category.objects.bulk_create(
                Category(name=f"{n}") for n in range(CATEGORIES)
            )

        with connection.cursor() as cursor:
            name = model._meta.db_table

            if connection.vendor == "postgresql":
                cursor.execute(f"TRUNCATE {name} RESTART IDENTITY")
            else:
                cursor.execute(f"DELETE FROM {name}")
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [name])

        if step:
            _store(table, count, step)

    with connection.cursor() as cursor:
        word = "VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE"
        cursor.execute(f"{word} {name}")

    return JsonResponse({"rows": model.objects.count()})


def _store(table: str, count: int, step: int) -> None:
    """The rows, as they were stored the first time: from then on there is a copy."""
    model: Any = MODELS[table]
    name = model._meta.db_table
    copied = f"{name}_{count}_{step}"

    with connection.cursor() as cursor:
        if copied not in connection.introspection.table_names(cursor):
            model.objects.bulk_create(
                model(**fields(table, number)) for number in range(0, count, step)
            )
            cursor.execute(f"CREATE TABLE {copied} AS SELECT * FROM {name}")
            return

        cursor.execute(f"INSERT INTO {name} SELECT * FROM {copied} ORDER BY id")

        for sql in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(sql)


def store(request: HttpRequest) -> JsonResponse:
    """`how` one of STORES; in seconds."""
    table, count = request.GET["table"], int(request.GET["count"])
    prepare, run = STORES[request.GET["how"]]
    given = prepare(table, count)
    counter = Counter()
    began, cpu = time.perf_counter(), time.process_time()

    with connection.execute_wrapper(counter), transaction.atomic():
        run(table, given)

    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    costs = {CPU: spent * 1e3, STATEMENTS: counter.count}

    return JsonResponse({"seconds": seconds, "costs": costs})


def _new(table: str, count: int) -> list[Any]:
    model: Any = MODELS[table]

    return [model(**fields(table, number, version=1)) for number in range(count)]


def _known(table: str, count: int) -> list[Any]:
    model: Any = MODELS[table]

    return [
        model(pk=number + 1, **fields(table, number, version=1))
        for number in range(count)
    ]


def _keys(table: str, count: int) -> list[int]:
    return list(range(1, count + 1))


def _create(table: str, objects: list[Any]) -> None:
    manager: Any = MODELS[table].objects
    manager.bulk_create(objects)


def _upsert(table: str, objects: list[Any]) -> None:
    from .payloads import KEYS

    manager: Any = MODELS[table].objects
    names = [c.name for c in MODELS[table]._meta.concrete_fields if not c.primary_key]
    manager.bulk_create(
        objects,
        update_conflicts=True,
        unique_fields=KEYS[table],
        update_fields=[name for name in names if name not in KEYS[table]],
    )


def _update(table: str, objects: list[Any]) -> None:
    manager: Any = MODELS[table].objects
    changed = {
        "transactions": ["amount", "description"],
        "contracts": ["status", "value", "signed", "title"],
    }[table]
    manager.bulk_create(
        objects, update_conflicts=True, unique_fields=["pk"], update_fields=changed
    )


def _delete(table: str, keys: list[int]) -> None:
    manager: Any = MODELS[table].objects

    for start in range(0, len(keys), 1000):
        manager.filter(pk__in=keys[start : start + 1000]).delete()


def _tuples(table: str, count: int) -> list[Any]:
    return [tuple(fields(table, n, version=1).values()) for n in range(count)]


def _copy(table: str, rows: list[Any]) -> None:
    model: Any = MODELS[table]
    columns = [c for c in model._meta.concrete_fields if not c.primary_key]
    names = ", ".join(f'"{column.column}"' for column in columns)
    types = [column.db_type(connection).partition("(")[0] for column in columns]

    with (
        connection.cursor() as cursor,
        cursor.copy(
            f"COPY {model._meta.db_table} ({names}) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(types)

        for one in rows:
            copy.write_row(one)


Store = tuple["Callable[[str, int], Any]", "Callable[[str, Any], None]"]
STORES: dict[str, Store] = {
    "create": (_new, _create),
    "upsert": (_new, _upsert),
    "update": (_known, _update),
    "delete": (_keys, _delete),
    "copy": (_tuples, _copy),
}


def validate(request: HttpRequest) -> JsonResponse:
    """Validation alone, by DRF or by ours."""
    table, count = request.GET["table"], int(request.GET["count"])
    rows = [row(table, number) for number in range(count)]
    began = time.perf_counter()

    if request.GET["how"] == "drf":
        serializer = SERIALIZERS[table](data=rows, many=True)
        is_valid = serializer.is_valid()
    else:
        is_valid = _valid_by_plan(table, rows)

    seconds = time.perf_counter() - began
    assert is_valid  # else it is no measure

    return JsonResponse({"seconds": seconds})


def _valid_by_plan(table: str, rows: list[Any]) -> bool:
    from django_partstream.bulk.plan import Candidate, Plan

    model: Any = MODELS[table]
    plan = Plan(SERIALIZERS[table], model=model, using="default")
    plan.prime(rows)
    verdicts = plan.validate([Candidate(i, row) for i, row in enumerate(rows)])

    return len(verdicts) == len(rows) and all(one.is_valid for one in verdicts)
