"""Fixtures for the tests of older names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.models import Account, Status


@pytest.fixture(autouse=True)
def addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.compat.urls"


@pytest.fixture
def ledger() -> tuple[list[Account], list[Status]]:
    """Accounts and states as the documents' rows name them: 1 and 2."""
    accounts = [Account.objects.create(pk=n, name=f"account {n}") for n in (1, 2)]
    states = [Status.objects.create(pk=n, code=f"state-{n}") for n in (1, 2)]

    return accounts, states
