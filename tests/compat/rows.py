"""Rows and files as the older documents show them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.app.models import Transaction

BASE = "/api/financial-transactions/"

TWO = [
    {
        "amount": "100.50",
        "description": "Transaction 1",
        "datetime": "2025-01-01T10:00:00Z",
        "financial_account": 1,
        "classification_status": 1,
    },
    {
        "amount": "-25.75",
        "description": "Transaction 2",
        "datetime": "2025-01-01T11:00:00Z",
        "financial_account": 1,
        "classification_status": 1,
    },
]

CREATE_CSV = (
    b"amount,description,datetime,financial_account,classification_status\n"
    b'100.50,"Transaction 1","2025-01-01T10:00:00Z",1,1\n'
    b'-25.75,"Transaction 2","2025-01-01T11:00:00Z",1,1\n'
    b'500.00,"Transaction 3","2025-01-01T12:00:00Z",2,2\n'
)
UPDATE_CSV = (
    b"id,amount,description\n"
    b'1,150.00,"Updated Transaction 1"\n'
    b'2,,"Updated Transaction 2"\n'
    b"3,75.50,\n"
)
DELETE_CSV = b"id\n1\n2\n3\n4\n5\n"


def store(count: int) -> list[Transaction]:
    """Transactions 1, 2, … of account 1."""
    return [
        Transaction.objects.create(
            pk=number,
            account_id=1,
            status_id=1,
            datetime=datetime.datetime(2025, 1, 1, 9 + number, tzinfo=datetime.UTC),
            amount=Decimal(number),
            description=f"Transaction {number}",
        )
        for number in range(1, count + 1)
    ]


def stored() -> list[tuple[int, str, str]]:
    rows = Transaction.objects.order_by("pk")

    return [(row.pk, str(row.amount), row.description) for row in rows]


def upload(
    client: Client,
    method: str,
    url: str,
    data: bytes,
    *,
    name: str = "transactions.csv",
    **fields: str,
) -> Any:
    """As `curl -F file=@…` does, with whatever method."""
    file = SimpleUploadedFile(name, data, content_type="text/csv")
    body = encode_multipart(BOUNDARY, {"file": file, **fields})

    return client.generic(method, url, body, content_type=MULTIPART_CONTENT)
