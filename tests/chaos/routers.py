"""Has the process of the tests look at the database that the victims write to."""

from __future__ import annotations

from typing import Any

from tests.chaos.arena import ALIAS


class ToChaos:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return ALIAS

    db_for_write = db_for_read
