"""Whatever a client asks, it is answered or refused, and shows nothing of others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.models import Account, Contract, Country, Sample
from tests.forms import count

from .asking import ask

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NAMES = [
    *(field.name for field in Sample._meta.fields),
    *("pk", "_connector", "country__name", "label__contains", "", "id__in", "password"),
]
LOOKUPS = [
    *("exact", "iexact", "contains", "icontains", "startswith", "istartswith"),
    *("endswith", "iendswith", "gt", "gte", "lt", "lte", "in", "range", "isnull"),
    *("year", "month", "day", "date", "regex", "_negated", "", "exact__in"),
]
#: Where types, databases and calendars end.
EDGES = [
    *(0, -1, 2**31, -(2**31) - 1, 2**63, 10**30, 1e308, 1e-320, "nan", "inf", "-0"),
    *("", " ", "\0", "a\0b", "\ud800", "%", "_", "\\", "'", "é", "İ", "x" * 300),
    *("0001-01-01", "9999-12-31", "0000-00-00", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-14:00", "24:00", "23:59:59.999999", "P999999999D"),
    *(
        "-999999999 00:00:00",
        "1e400",
        "2024-02-30",
        "::1",
        "999.1.1.1",
        "::ffff:1.2.3.4",
    ),
    *("00000000-0000-0000-0000-000000000000", "r", "blue", True, False, None),
]
scalars = st.one_of(
    st.sampled_from(EDGES),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.datetimes().map(str),
    st.dates().map(str),
    st.timedeltas().map(str),
    st.uuids().map(str),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(LOOKUPS), inner, max_size=2),
    ),
    max_leaves=4,
)
questions = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
    # One condition, so that a wrong one does not keep a right one from being tried.
    st.builds(
        lambda name, lookup, value: {name: {lookup: value}},
        st.sampled_from(NAMES),
        st.sampled_from(LOOKUPS),
        st.one_of(scalars, st.lists(scalars, min_size=1, max_size=2)),
    ),
)


@pytest.fixture
def samples() -> None:
    country = Country.objects.create(iso="DE", name="Germany")
    Sample.objects.create(label="a", country=country, ratio=0.5, note="x")
    Sample.objects.create(label="b", is_on=False, day="2024-02-29")


@given(asked=questions)
@settings(
    max_examples=count(40, 5000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_filter_is_an_error_of_the_server(samples: Any, asked: Any) -> None:
    response = ask(
        Client(), "POST", "/api/samples/operations/query/", {"filters": asked}
    )

    assert response.status_code in (200, 400), response.content
    body = json.loads(response.content)

    if response.status_code == 400:
        assert body["code"] in ("invalid_filter", "bad_request", "invalid_json")
    else:
        assert {row["label"] for row in body["results"]} <= {"a", "b"}


@given(
    asked=st.dictionaries(st.sampled_from(["number", "year", "id", "account"]), values)
)
@settings(
    max_examples=count(15, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_filter_shows_what_is_anothers(db: Any, asked: Any) -> None:
    ours, theirs = (Account.objects.create(name=name) for name in "AB")
    Contract.objects.create(number="SECRET" + str(theirs.pk), year=1, account=theirs)
    url = f"/api/accounts/{ours.pk}/contracts/operations/query/"

    response = ask(Client(), "POST", url, {"filters": asked})

    assert response.status_code in (200, 400), response.content
    assert b"SECRET" not in response.content or "SECRET" in json.dumps(asked)
    assert response.json().get("count", 0) == 0
