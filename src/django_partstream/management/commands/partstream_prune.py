"""`manage.py partstream_prune`: delete the jobs whose time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from django_partstream.jobs import pruning

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ("Command",)


class Command(BaseCommand):
    help = (
        "Delete finished jobs older than PARTSTREAM['RESULT_TTL_SECONDS'], with their "
        "inputs and outcomes, and inputs in a storage that belong to no job. The "
        "processes that work on jobs do so now and then, too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be deleted"
        )
        parser.add_argument(
            "--limit", type=int, help="delete at most so many jobs, the oldest first"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        jobs = pruning.prune(limit=options["limit"], dry_run=dry_run)
        strays = pruning.prune_strays(dry_run=dry_run)
        what = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{what} {jobs} jobs and {strays} inputs without a job.")
