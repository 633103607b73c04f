"""The rows that everybody is sent: the same bytes."""

from __future__ import annotations

import datetime
from typing import Any

__all__ = ("ACCOUNTS", "CATEGORIES", "KEYS", "STATES", "fields", "row")

ACCOUNTS = 200
CATEGORIES = 8
STATES = ("draft", "open", "sent", "paid", "late", "void", "sold", "lost")
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

#: What tells the rows of each table apart, beside their primary keys.
KEYS = {"transactions": ("account", "datetime"), "contracts": ("number",)}


def row(table: str, number: int, *, version: int = 0) -> dict[str, Any]:
    """Row `number`, from 0, as it is sent; each version has other values beside the
    key."""
    amount = f"{(number * 37 + version * 1000) % 1_000_000 / 100:.2f}"

    if table == "transactions":
        moment = START + datetime.timedelta(seconds=number)

        return {
            "account": number % ACCOUNTS + 1,
            "category": number % CATEGORIES + 1,
            "datetime": moment.isoformat().replace("+00:00", "Z"),
            "amount": amount,
            "description": f"transaction {number} of version {version}",
            "reference": f"REF-{number:08}",
        }

    return {
        "number": f"CONTRACT-{number:08}",
        "status": STATES[(number + version) % len(STATES)],
        "value": amount,
        "since": (START.date() + datetime.timedelta(days=number % 365)).isoformat(),
        "signed": (number + version) % 2 == 0,
        "title": f"contract {number} of version {version}",
    }


def fields(table: str, number: int, *, version: int = 0) -> dict[str, Any]:
    """The same, as a model instance takes it."""
    from decimal import Decimal

    sent = row(table, number, version=version)

    if table == "transactions":
        return {
            "account_id": sent["account"],
            "category_id": sent["category"],
            "datetime": datetime.datetime.fromisoformat(sent["datetime"]),
            "amount": Decimal(sent["amount"]),
            "description": sent["description"],
            "reference": sent["reference"],
        }

    return {
        **sent,
        "value": Decimal(sent["value"]),
        "since": datetime.date.fromisoformat(sent["since"]),
    }
