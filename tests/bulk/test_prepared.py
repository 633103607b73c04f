"""Whole columns are prepared as Django prepares each value."""

from __future__ import annotations

import datetime
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_partstream.bulk.arrays import array, values_of
from django_partstream.bulk.columns import column_of
from django_partstream.bulk.prepared import prepared
from tests.app.models import Contract, Country, Sample, Transaction

pytestmark = [pytest.mark.database, pytest.mark.django_db]

PARIS = timezone.get_fixed_timezone(60)
MOMENT = datetime.datetime(2024, 1, 1, 10, 0, 0, 5, PARIS)
COLUMNS: list[tuple[Any, str, list[Any]]] = [
    (Contract, "number", ["a", "", "it's ünlike", None]),
    (Contract, "year", [0, 32767, -1, None]),
    (Contract, "year", [True, False]),
    (Contract, "year", ["7", 1.0]),
    (Contract, "amount", [Decimal("1.50"), Decimal("-0.00"), None]),
    (Contract, "amount", [Decimal(1), Decimal("1E+2"), Decimal("0.1")]),
    (Contract, "amount", [1, 1.5]),
    (Contract, "account", [1, None]),
    (Contract, "id", [1, 2**62]),
    (Sample, "colour", ["r", Sample.Colour.BLUE]),
    (Sample, "is_on", [True, False]),
    (Sample, "is_on", [1, 0]),
    (Sample, "maybe", [True, None]),
    (Sample, "day", [datetime.date(2024, 2, 29), None]),
    (Sample, "day", [MOMENT]),
    (Sample, "clock", [datetime.time(1, 2, 3, 4), None]),
    (Sample, "ratio", [0.1, -0.0, 1e300, None]),
    (Sample, "ratio", [1]),
    (Sample, "span", [datetime.timedelta(days=-1, microseconds=5), None]),
    (Sample, "token", [uuid.UUID(int=7), None]),
    (Sample, "token", ["0" * 32]),
    (Sample, "address", ["1.2.3.4", None]),
    (Sample, "note", ["x" * 1000, "", None]),
    (Sample, "country", ["de", None]),
    (Sample, "extra", [{"a": [1]}, None]),
    (Country, "iso", ["de"]),
    (Transaction, "datetime", [MOMENT, MOMENT.astimezone(datetime.UTC), None]),
    (Transaction, "datetime", [datetime.datetime(1, 1, 1, 12, tzinfo=datetime.UTC)]),
    (Transaction, "datetime", []),
]


@pytest.mark.parametrize(("model", "name", "values"), COLUMNS, ids=str)
def test_every_kind_of_column(model: Any, name: str, values: list[Any]) -> None:
    column = column_of(model, name)
    assert column is not None
    expected = [column.get_db_prep_save(value, connection) for value in values]

    given = prepared(column, values, connection)

    assert [(type(a), str(a)) for a in given] == [(type(b), str(b)) for b in expected]


def test_what_django_refuses_is_refused() -> None:
    column = column_of(Contract, "amount")
    assert column is not None

    with pytest.raises(Exception, match="must be a decimal number"):
        prepared(column, [Decimal(1), Decimal("NaN")], connection)


FOLDED = datetime.datetime(
    2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")
)
PACKED: list[tuple[Any, str, list[Any]]] = [
    (Contract, "amount", [Decimal("1.50"), Decimal("-0.00"), None]),
    (Sample, "is_on", [True, False, True, True]),
    (Sample, "day", [datetime.date(2024, 2, 29), None, datetime.date.max]),
    (Sample, "token", [uuid.UUID(int=7)] * 3),
    (Transaction, "datetime", [MOMENT, MOMENT.astimezone(datetime.UTC), FOLDED]),
    (Transaction, "datetime", [FOLDED, FOLDED.replace(fold=1), FOLDED, MOMENT] * 2),
    (Transaction, "datetime", [MOMENT, None, MOMENT, None]),
    (
        Transaction,
        "datetime",
        [
            datetime.datetime.min.replace(tzinfo=datetime.UTC),
            datetime.datetime.max.replace(tzinfo=datetime.UTC),
        ],
    ),
]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="about its driver")
@pytest.mark.parametrize(("model", "name", "values"), PACKED, ids=str)
def test_a_packed_column_is_what_the_driver_makes_of_it(
    model: Any, name: str, values: list[Any]
) -> None:
    from psycopg.adapt import PyFormat, Transformer

    column = column_of(model, name)
    assert column is not None
    connection.ensure_connection()
    given = values_of(column, values, connection)

    packed = array(given, connection)

    dumper = Transformer(connection.connection).get_dumper(values, PyFormat.BINARY)
    assert packed.data == dumper.dump(values)
