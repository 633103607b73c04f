from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from .flights import finish, january, send


@pytest.fixture
def reference(transactional_db):
    """The airlines, airports and planes."""
    call_command("load_reference", stdout=io.StringIO())


@pytest.fixture
def loaded(client, reference):
    """The same and January; the answer to its upload."""
    accepted = send(client, january())
    finish(client, accepted)
    return accepted
