"""`manage.py partstream_probe URL`: whether frames arrive as they leave."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from django_partstream import conf
from django_partstream.probe import Arrival, Report, Verdict, probe

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ("EXIT_CODES", "Command")

#: 1 is Django's, for a command that was called wrongly; 2 is argparse's.
EXIT_CODES: dict[Verdict, int] = {
    "streaming": 0,
    "held back": 3,
    "compressed": 4,
    "truncated": 5,
    "not a stream": 6,
    "refused": 7,
    "unreachable": 8,
    "too quick to tell": 9,
}
#: Headers that tell who stands between.
TELLING_HEADERS = ("Server", "Via", "X-Cache", "CF-Ray", "Content-Encoding")


class Command(BaseCommand):
    help = (
        "Open a stream through whatever stands between, print when each frame arrived "
        "and say whether something held it back. Exit codes: "
        + ", ".join(f"{code} {verdict}" for verdict, code in EXIT_CODES.items())
        + "."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="Of a progressive view or a job's events.")
        parser.add_argument(
            "--sse", action="store_true", help="As text/event-stream, not as NDJSON."
        )
        parser.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="'NAME: VALUE'",
            help="Send this too, for example 'Authorization: Token …'. Repeatable.",
        )
        parser.add_argument(
            "--seconds",
            type=float,
            default=60.0,
            help="How long to read at most (default 60).",
        )

    def handle(self, *args: Any, url: str, **options: Any) -> None:
        if options["seconds"] <= 0:
            raise CommandError(
                f"--seconds is {options['seconds']:g}; expected more than zero."
            )

        try:
            report = probe(
                url,
                sse=options["sse"],
                headers=dict(map(_header, options["header"])),
                seconds=options["seconds"],
                max_running=conf.current().max_running_parts,
            )
        except ValueError as error:
            raise CommandError(str(error)) from error

        for line in _lines(report):
            self.stdout.write(line)

        if code := EXIT_CODES[report.verdict]:
            sys.exit(code)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")

    if not colon or not name.strip():
        raise ValueError(f"--header is {text!r}; expected 'Name: value'.")

    return name.strip(), value.strip()


def _lines(report: Report) -> list[str]:
    lines = []

    if report.status is not None:
        told = {name.lower(): value for name, value in report.headers.items()}
        lines.append(f"{report.status} {told.get('content-type', 'of no type')}")
        lines += [
            f"{name}: {told[name.lower()]}"
            for name in TELLING_HEADERS
            if name.lower() in told
        ]

    if report.arrivals:
        lines.append(f"{'arrived':>12}{'work':>12}{'bytes':>9}  frame")
        lines += map(_line, report.arrivals)

    if report.body:
        lines.append(report.body)

    return [*lines, f"{report.verdict}: {report.reason}."]


def _line(arrival: Arrival) -> str:
    frame = arrival.frame
    work = "" if arrival.work is None else f"{arrival.work * 1000:,.0f} ms"
    name = frame.get("name") or ", ".join(frame.get("parts", ()))

    return (
        f"{arrival.at * 1000:>9,.0f} ms{work:>12}{arrival.size:>9,}"
        f"  {frame['type']} {name}".rstrip()
    )
