from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import transaction

from asgi_example.flights.models import Airline, Airport, Plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

DATA = Path(__file__).resolve().parents[3] / "data"
FILES: dict[str, type[Model]] = {
    "airlines.csv": Airline,
    "airports.csv": Airport,
    "planes.csv": Plane,
}


class Command(BaseCommand):
    help = (
        "Loads the airlines, airports and planes that flights refer to. May be "
        "repeated: rows that are there already are left as they are."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        for name, model in FILES.items():
            rows = model._default_manager
            before = rows.count()
            rows.bulk_create(
                [model(**row) for row in _rows(DATA / name)],
                batch_size=500,
                ignore_conflicts=True,
            )
            after = rows.count()
            self.stdout.write(f"{name}: {after - before} loaded, {after} in all")


def _rows(path: Path) -> Iterator[dict[str, str | None]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {
                column: None if cell == "NA" else cell for column, cell in row.items()
            }
