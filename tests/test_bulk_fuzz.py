"""Bodies that nobody should send: never a 500, and nothing half written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_partstream.models import Job
from tests.app.models import Account
from tests.forms import count
from tests.test_upserts import run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SETTINGS = settings(
    max_examples=count(40, 25_000),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
NAMES = ["id", "number", "year", "amount", "account", "", "no such field", "\x00", "é"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, 9**30, -1, 2**31, 2**63]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["\x00", "\ud800", "1e999", "NaN", "-0", "٣", "x" * 300, "2024", " 7 ", "=1+1"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5) | VALUES, max_size=4
)
METHODS = st.sampled_from(["POST", "PATCH", "PUT", "DELETE"])
QUERIES = st.one_of(
    st.sampled_from(["", "?unique_fields=number", "?unique_fields=id"]),
    st.sampled_from(
        [
            "?unique_fields=",
            "?unique_fields=number&update_fields=year",
            "?unique_fields=number&update_fields=x",
            "?unique_fields=%00",
            "?ids=%00",
        ]
    ),
)
PREFER = st.sampled_from(["", "return=minimal", "handling=lenient", "tx=rollback"])


def is_sound(response: Any) -> None:
    assert response.status_code < 500, response.content

    if response.status_code >= 400:
        assert response.headers["Content-Type"] in (
            "application/problem+json",
            "application/json",
        )
        json.loads(response.content)


def ask(
    method: str,
    query: str,
    body: bytes,
    content_type: str,
    prefer: str = "",
    **more: str,
) -> Any:
    return Client().generic(
        method,
        f"/api/contracts/{query}",
        body,
        content_type=content_type,
        headers={"Prefer": prefer, **more},
    )


def text_of(rows: Any) -> bytes:
    # With lone surrogates and NaN as they come.
    return json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")


SURROGATE: Any = [{"number": "C1", "year": 1, "account": "\ud800"}]
AS_POST: Any = {"method": "POST", "query": "", "escaped": True}


@SETTINGS
@given(rows=ROWS, method=METHODS, query=QUERIES, prefer=PREFER, escaped=st.booleans())
@example(rows=SURROGATE, method="POST", query="", prefer="", escaped=True)
@example(
    rows=SURROGATE, method="POST", query="", prefer="handling=lenient", escaped=True
)
@example(
    rows=SURROGATE,
    method="DELETE",
    query="?unique_fields=number",
    prefer="",
    escaped=True,
)
def test_any_json(
    rows: Any, method: str, query: str, prefer: str, escaped: bool
) -> None:
    Account.objects.get_or_create(pk=1, defaults={"name": "a"})
    body = json.dumps(rows).encode() if escaped else text_of(rows)

    is_sound(ask(method, query, body, "application/json", prefer))


@SETTINGS
@given(
    rows=st.lists(VALUES.map(text_of) | st.binary(max_size=9), max_size=5),
    method=METHODS,
    query=QUERIES,
    prefer=PREFER,
)
def test_any_ndjson(rows: list[bytes], method: str, query: str, prefer: str) -> None:
    body = b"\n".join(rows)

    is_sound(ask(method, query, body, "application/x-ndjson", prefer))


@SETTINGS
@given(
    columns=st.lists(st.sampled_from(NAMES), max_size=5),
    cells=st.lists(
        st.lists(
            st.text(max_size=6) | st.sampled_from(["1", '"', "\x00", "NA"]), max_size=6
        ),
        max_size=4,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|", "x"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "latin-1"]),
    method=METHODS,
    query=QUERIES,
    prefer=PREFER,
)
def test_any_csv(
    columns: list[str],
    cells: list[list[str]],
    delimiter: str,
    end: str,
    encoding: str,
    method: str,
    query: str,
    prefer: str,
) -> None:
    lines = [delimiter.join(row) for row in [columns, *cells]]
    body = end.join(lines).encode(encoding, "replace")

    is_sound(ask(method, query, body, "text/csv", prefer))


GOOD = {
    "application/json": json.dumps(
        [{"number": f"C{n}", "year": n, "amount": "1.50"} for n in range(4)]
    ).encode(),
    "application/x-ndjson": b"".join(
        b'{"number": "C%d", "year": %d}\n' % (n, n) for n in range(4)
    ),
    "text/csv": b"number,year,amount\n"
    + b"".join(b"C%d,%d,2\n" % (n, n) for n in range(4)),
}
GOOD["multipart/form-data; boundary=b"] = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n" + GOOD["text/csv"] + b"\r\n--b--\r\n"
)


@SETTINGS
@given(
    content_type=st.sampled_from([*GOOD]),
    cuts=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 6), st.binary(max_size=4)),
        max_size=4,
    ),
    method=METHODS,
    query=QUERIES,
    packed=st.booleans(),
    coding=st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
)
def test_good_bodies_that_were_damaged(
    content_type: str, cuts: Any, method: str, query: str, packed: bool, coding: str
) -> None:
    body = GOOD[content_type]
    body = gzip.compress(body) if packed else body

    for at, length, instead in cuts:
        body = body[:at] + instead + body[at + length :]

    more = {"Content-Encoding": coding} if coding else {}

    is_sound(ask(method, query, body, content_type, **more))


#: JSON that is, or nearly is.
ODD = st.sampled_from(
    [
        *("[" * 900 + "]" * 900, '{"a":' * 400 + "1" + "}" * 400, "[" * 5000),
        *(
            '"\\ud800"',
            '"\\u0000"',
            '"\\ud83d\\ude00"',
            '"\\ud83d"',
            "NaN",
            "-Infinity",
        ),
        *("1e400", "-0", "9" * 500, "9" * 5000, "1.0", "0.1e-400", "-Infinity"),
        *("01", "'a'", "tru", '"', '"a\nb"', "", "null", "true", '"x"', "[]"),
        *('{"a": 1, "a": 2}', '"2024"'),
    ]
)


def members(row: dict[str, str]) -> list[tuple[str, str]]:
    return [(json.dumps(name), value) for name, value in row.items()]


@SETTINGS
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from(["value", "name", "twice", "away"]),
            ODD,
        ),
        max_size=3,
    ),
    by_lines=st.booleans(),
    method=METHODS,
    query=QUERIES,
    prefer=PREFER | st.just("respond-async"),
)
def test_good_rows_of_which_something_was_changed(
    changes: Any, by_lines: bool, method: str, query: str, prefer: str
) -> None:
    rows = [
        members({"number": f'"C{n}"', "year": f"{n}", "amount": '"1.5"', "id": f"{n}"})
        for n in range(4)
    ]

    for row, member, what, odd in changes:
        at = member % max(1, len(rows[row]))
        name, value = rows[row][at] if rows[row] else ('"year"', "1")

        if what == "away":
            del rows[row][at : at + 1]
        elif what == "twice":
            rows[row].append((name, odd))
        else:
            changed = (name, odd) if what == "value" else (odd, value)
            rows[row][at : at + 1] = [changed]

    texts = [
        "".join(["{", ", ".join(f"{name}: {value}" for name, value in row), "}"])
        for row in rows
    ]
    body = "\n".join(texts) if by_lines else f"[{', '.join(texts)}]"
    kind = "application/x-ndjson" if by_lines else "application/json"

    response = ask(method, query, body.encode(), kind, prefer)

    is_sound(response)

    if response.status_code == 202:
        said = response.json()
        run(Job.objects.get(pk=said["task_id"]))

        for address in (said["status_url"], said["results_url"]):
            is_sound(Client().get(address))
