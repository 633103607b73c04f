from __future__ import annotations

import io

import pytest
from django.core.management import call_command


@pytest.fixture
def reference(transactional_db):
    """The airlines, airports and planes."""
    call_command("load_reference", stdout=io.StringIO())
