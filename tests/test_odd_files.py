"""Files as they come: each is stored for what it says, or refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from tests.app.models import Contract

pytestmark = pytest.mark.django_db

#: As a file says it: number, year and amount.
A: Any = ("A", 1, "1.50")
B: Any = ("B", 2, None)
AB = [A, B]
PLAIN = "number,year,amount\nA,1,1.50\nB,2,\n"
#: What is uploaded, its type, and the rows that are stored.
STORED: dict[str, tuple[bytes, str, list[Any]]] = {
    "plain": (PLAIN.encode(), "", AB),
    "utf-8 with a mark": (PLAIN.encode("utf-8-sig"), "", AB),
    "utf-16, little-endian": (b"\xff\xfe" + PLAIN.encode("utf-16-le"), "", AB),
    "utf-16, big-endian": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "", AB),
    "latin-1, declared": (
        "number,year\nÄ,1\n".encode("latin-1"),
        "; charset=latin-1",
        [("Ä", 1, None)],
    ),
    "windows-1252, declared": (
        "number,year\n€,1\n".encode("cp1252"),
        "; charset=windows-1252",
        [("€", 1, None)],
    ),
    "semicolons": (PLAIN.replace(",", ";").encode(), "", AB),
    "tabs": (PLAIN.replace(",", "\t").encode(), "", AB),
    "bars": (PLAIN.replace(",", "|").encode(), "", AB),
    "commas in cells among semicolons": (
        b"number;year;amount\na,b;1;2\n",
        "",
        [("a,b", 1, "2.00")],
    ),
    "windows line ends": (PLAIN.replace("\n", "\r\n").encode(), "", AB),
    "old mac line ends": (PLAIN.replace("\n", "\r").encode(), "", AB),
    "no last line end": (PLAIN.rstrip().encode(), "", AB),
    "blank lines": (
        b"\n\nnumber,year,amount\n\nA,1,1.50\n\n\nB,2,\n\n",
        "",
        AB,
    ),
    "quoted newline": (b'number,year\n"a\nb",1\n', "", [("a\nb", 1, None)]),
    "quoted windows newline": (
        b'number,year\r\n"a\r\nb",1\r\n',
        "",
        [("a\r\nb", 1, None)],
    ),
    "quoted delimiter and doubled quotes": (
        b'number,year\n"a,""b""",1\n',
        "",
        [('a,"b"', 1, None)],
    ),
    "everything quoted": (
        b'"number","year","amount"\n"A","1","1.50"\n"B","2",""\n',
        "",
        AB,
    ),
    "names with spaces around them": (b" number , year \nA,1\n", "", [("A", 1, None)]),
    "null tokens": (b"number,year,amount\nA,1,NA\n", "", [("A", 1, None)]),
    "columns in another order": (b"year,amount,number\n1,1.50,A\n", "", [A]),
    "our own columns": (
        b"number,year,_row,_outcome,_pk,_errors\nA,1,7,failed,,x\n",
        "",
        [("A", 1, None)],
    ),
    "formulas, escaped by us": (
        b"number,year,_row\n'=1+1,1,1\n'@x,2,2\n'-3,3,3\n",
        "",
        [("=1+1", 1, None), ("@x", 2, None), ("-3", 3, None)],
    ),
    "formulas as they are": (b"number,year\n=1+1,1\n", "", [("=1+1", 1, None)]),
    "an apostrophe of one's own": (b"number,year\n'tis,1\n", "", [("'tis", 1, None)]),
    "one row": (b"number,year\nA,1", "", [("A", 1, None)]),
    "other digits": ("number,year\nA,٣\n".encode(), "", [("A", 3, None)]),
}

UNKNOWN = (
    "Known columns: 'number', 'year', 'amount', 'account'. The first line must name "
    "the columns."
)
NOTHING = "The upload is empty. Send CSV with a header line, or a JSON array."
BINARY = "The upload is not CSV: it is binary, or UTF-16 without a byte order mark."


def bad(row: int, pointer: str, code: str, detail: str) -> list[dict[str, Any]]:
    error = {"pointer": pointer, "code": code, "detail": detail}

    return [{"row": row, "line": row + 1, "errors": [error]}]


def ragged(row: int, expected: int, found: int) -> list[dict[str, Any]]:
    detail = f"Expected {expected} cells, found {found}."

    return bad(row, "", "ragged_row", detail)


#: What is uploaded, its type, status and code, and the detail, or the bad rows.
REFUSED: dict[str, tuple[bytes, str, int, str, Any]] = {
    "a mark and nothing": (b"\xef\xbb\xbf", "", 400, "empty_upload", NOTHING),
    "blank lines only": (b"\n\n\r\n", "", 400, "empty_upload", NOTHING),
    "header only": (
        b"number,year\n",
        "",
        400,
        "empty_upload",
        "The upload has a header and no rows. Add rows to it.",
    ),
    "latin-1, not declared": (
        "number,year\nÄ,1\n".encode("latin-1"),
        "",
        400,
        "undecodable",
        (
            "The upload is not utf-8: line 2, byte 12 cannot be decoded. Save it as "
            "UTF-8, or declare its charset in Content-Type."
        ),
    ),
    "utf-16 without a mark": (PLAIN.encode("utf-16-le"), "", 400, "not_csv", BINARY),
    "an unknown charset": (
        PLAIN.encode(),
        "; charset=klingon",
        415,
        "unsupported_media_type",
        "The charset 'klingon' is not supported. Send UTF-8.",
    ),
    "a column twice": (
        b"number,year,number\nA,1,B\n",
        "",
        400,
        "invalid_columns",
        f"Doubled columns: 'number'. {UNKNOWN}",
    ),
    "an unknown column": (
        b"number,year,colour\nA,1,r\n",
        "",
        400,
        "invalid_columns",
        f"Unknown columns: 'colour'. {UNKNOWN}",
    ),
    "a column without a name": (
        b"number,year,\nA,1,\n",
        "",
        400,
        "invalid_columns",
        f"Unknown columns: ''. {UNKNOWN}",
    ),
    "a column that is missing": (
        b"number,amount\nA,1\n",
        "",
        400,
        "invalid_columns",
        f"Missing columns: 'year'. {UNKNOWN}",
    ),
    "sep= before the header": (
        b"sep=;\nnumber;year\nA;1\n",
        "",
        400,
        "invalid_columns",
        f"Unknown columns: 'sep=;'. Missing columns: 'number', 'year'. {UNKNOWN}",
    ),
    "no header": (
        b"A,1,1.50\nB,2,\n",
        "",
        400,
        "invalid_columns",
        (
            "Unknown columns: 'A', '1', '1.50'. Missing columns: 'number', 'year'. "
            f"{UNKNOWN}"
        ),
    ),
    "an open quote": (
        b'number,year\n"A,1\nB,2\n',
        "",
        400,
        "not_csv",
        "A quote is not closed in row 1, which begins on line 2.",
    ),
    "a row too short": (
        b"number,year,amount\nA,1,1\nB,2\n",
        "",
        400,
        "invalid_rows",
        ragged(2, 3, 2),
    ),
    "a row too long": (
        b"number,year\nA,1\nB,2,3\n",
        "",
        400,
        "invalid_rows",
        ragged(2, 2, 3),
    ),
    "trailing delimiters in rows": (
        b"number,year\nA,1,\n",
        "",
        400,
        "invalid_rows",
        ragged(1, 2, 3),
    ),
    "a stray quote": (
        b'number,year\na"b,1\n"a"b,2\n',
        "",
        400,
        "invalid_rows",
        bad(2, "", "malformed_row", "Malformed CSV: ',' expected after '\"'."),
    ),
    "a null byte": (b"number,year\na\0b,1\n", "", 400, "not_csv", BINARY),
    "a huge cell": (
        b"number,year\n" + b"x" * 200_000 + b",1\n",
        "",
        400,
        "invalid_rows",
        bad(
            1,
            "/number",
            "max_length",
            "Ensure this cell has no more than 131072 characters.",
        ),
    ),
    "a line without end": (
        b"number,year\n" + b"x" * 2_000_000,
        "",
        400,
        "not_csv",
        "The record is longer than 1048576 bytes in row 1, which begins on line 2.",
    ),
    "a spreadsheet": (b"PK\x03\x04" + b"\0" * 99, "", 400, "not_csv", BINARY),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "", 400, "not_csv", BINARY),
    "a compressed file": (b"\x1f\x8b\x08\0" + b"\0" * 99, "", 400, "not_csv", BINARY),
    "a page": (
        b"<!DOCTYPE html><html></html>",
        "",
        400,
        "not_csv",
        "The upload is not CSV: it begins like HTML or XML.",
    ),
    "json": (
        b'[{"number": "A", "year": 1}]',
        "",
        400,
        "not_csv",
        "The upload is not CSV: it begins like JSON.",
    ),
}


def upload(body: bytes, more: str) -> Any:
    return Client().generic(
        "POST", "/api/contracts/", body, content_type=f"text/csv{more}"
    )


def test_corpus_is_large() -> None:
    assert len(STORED) + len(REFUSED) >= 50


@pytest.mark.parametrize("name", STORED)
def test_file_that_is_stored(name: str) -> None:
    body, more, rows = STORED[name]

    response = upload(body, more)

    assert response.status_code == 201, response.content
    assert [
        *Contract.objects.order_by("pk").values_list("number", "year", "amount")
    ] == [(number, year, amount and Decimal(amount)) for number, year, amount in rows]


@pytest.mark.parametrize("name", REFUSED)
def test_file_that_is_refused(name: str) -> None:
    body, more, status, code, said = REFUSED[name]

    response = upload(body, more)
    problem = response.json()

    assert (response.status_code, problem["code"]) == (status, code)
    assert problem.get("rows", problem["detail"]) == said
    assert not Contract.objects.exists()
