"""`python -m django_partstream load URL FILE`."""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import argparse
import itertools
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from . import failures
from .bar import progress_bar
from .following import LOST, follow
from .site import LoadError, Site, UnreachableError, refusal
from .upload import upload_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .bar import Bar
    from .site import Answer
    from .upload import Upload

__all__ = ("ALL_WRITTEN", "REFUSED", "SOME_FAILED", "main")

ALL_WRITTEN, SOME_FAILED, REFUSED = 0, 1, 2
INTERRUPTED = 130

#: How often a file is sent whose answer does not come.
UPLOADS = 3

#: How long a server may read and answer what it was sent.
ANSWER_SECONDS = 600.0

#: Answered alike however many rows there are: the good ones are written, the bad ones
#: told.
PREFER = "respond-async, handling=lenient, return=minimal"
WORDS = ("created", "updated", "unchanged", "deleted", "failed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = _parser().parse_args(arguments)

    try:
        return _load(options)
    except LoadError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m django_partstream", description="Commands for any machine."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    load = commands.add_parser(
        "load",
        help="send a file to a collection and follow its job",
        description="Send FILE to the collection at URL, follow the job that it "
        "becomes, print the counts and write the failed rows beside FILE. Exits 0, 1 "
        "when some rows failed, 2 when the file was refused.",
    )
    load.add_argument("url", metavar="URL", help="of the collection")
    load.add_argument(
        "file", metavar="FILE", type=Path, help=".csv, .json, .ndjson, each also as .gz"
    )
    load.add_argument(
        "--unique-fields",
        metavar="A,B",
        help="create the rows whose values of these are new, update the others",
    )
    load.add_argument(
        "--update-fields", metavar="A,B", help="of those, update only these"
    )
    load.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help="send this too, for example 'Authorization: Token …'; @FILE reads them "
        "from a file, where no process list shows them. Repeatable",
    )
    load.add_argument(
        "--method", default="POST", choices=("POST", "PATCH", "PUT", "DELETE")
    )
    load.add_argument("--content-type", help="where the name of FILE does not tell")
    load.add_argument("--gzip", action="store_true", help="compress on the way")
    load.add_argument(
        "--idempotency-key",
        metavar="KEY",
        default=str(uuid.uuid4()),
        help="the same file sent again with the same key is the same job",
    )
    load.add_argument(
        "--no-wait", action="store_true", help="print where the job is, and leave it"
    )

    return parser


def _load(options: argparse.Namespace) -> int:
    upload = upload_of(
        options.file, content_type=options.content_type, compress=options.gzip
    )
    site = Site(options.url, _headers(options.header))
    began = time.monotonic()

    with progress_bar(sys.stderr, unit="bytes") as bar:
        answer = _send(site, options, upload, bar)

    if answer.status != 202:
        return _answered(answer, upload, began)

    accepted: dict[str, Any] = answer.json()
    status_url = site.address(accepted["status_url"])

    if options.no_wait:
        print(status_url)
        return ALL_WRITTEN

    try:
        return _followed(site, accepted, upload, began)
    except KeyboardInterrupt:
        print(f"The job goes on: {status_url}", file=sys.stderr)
        raise


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {"User-Agent": "django-partstream", "Prefer": PREFER}

    for text in given:
        for line in _lines(text):
            name, colon, value = line.partition(":")

            if not colon or not name.strip():
                raise LoadError(f"--header is {line!r}; expected 'Name: value'.")

            same = [known for known in headers if known.lower() == name.strip().lower()]
            headers.pop(same[0] if same else "", None)
            headers[name.strip()] = value.strip()

    return headers


def _lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]

    try:
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LoadError(f"{text[1:]} cannot be read: {error.strerror}.") from error

    return [line for line in lines if line.strip()]


def _send(site: Site, options: argparse.Namespace, upload: Upload, bar: Bar) -> Answer:
    asked = {
        name: value
        for name, value in (
            ("unique_fields", options.unique_fields),
            ("update_fields", options.update_fields),
        )
        if value
    }
    separator = "&" if "?" in options.url else "?"
    url = options.url + (separator + urlencode(asked, safe=",") if asked else "")

    def on_read(read: int) -> None:
        bar.show("sent", read, upload.size)

    for attempt in itertools.count(1):
        try:
            return site.ask(
                options.method,
                url,
                headers={**upload.headers, "Idempotency-Key": options.idempotency_key},
                body=upload.pieces(on_read),
                seconds=ANSWER_SECONDS,
            )
        except UnreachableError as error:
            raise LoadError(f"{options.url} cannot be reached: {error}.") from error
        except LOST as error:
            text = str(error) or type(error).__name__

            if attempt == UPLOADS:
                raise LoadError(
                    f"{options.url} does not answer: {text}. Whether it has taken the "
                    "file is not known; sent again with --idempotency-key "
                    f"{options.idempotency_key} it is taken once."
                ) from error

            # The key makes it the same request, also if the first one was heard.
            bar.say(f"connection lost ({text}); sending the file again")

    raise AssertionError("attempts end")


def _answered(answer: Answer, upload: Upload, began: float) -> int:
    """An answer at once, good or bad."""
    if answer.status not in (200, 201, 207):
        raise LoadError(refusal(answer))

    document = answer.json()

    if answer.status != 207:
        count = document.get("count") if isinstance(document, dict) else None
        rows = len(document) if isinstance(document, list) else count
        _print_counts(upload, {"written": rows or 0}, began)
        return ALL_WRITTEN

    _print_counts(upload, {name: document.get(name, 0) for name in WORDS}, began)
    failed = [row for row in document["results"] if row["outcome"] == "failed"]

    if not failed:
        return ALL_WRITTEN

    print(f"The failed rows are in {failures.extract(upload, failed)}.")
    return SOME_FAILED


def _followed(
    site: Site, accepted: Mapping[str, Any], upload: Upload, began: float
) -> int:
    with progress_bar(sys.stderr) as bar:
        for snapshot in follow(
            site, accepted["status_url"], accepted["events_url"], bar.say
        ):
            progress = snapshot["progress"]
            bar.show(snapshot["status"], progress["current"], progress["total"])

    result = snapshot["result"]
    counts = {name: result.get(f"{name}_count", 0) for name in WORDS[:-1]}
    counts["failed"] = result["error_count"]
    _print_counts(upload, counts, began)

    if counts["failed"]:
        path = failures.download(site, accepted["results_url"], upload, _say)
        print(f"The failed rows are in {path}.")

    if snapshot["state"] != "SUCCESS":
        left = progress["total"] - progress["current"]
        print(f"{left} rows were not reached. {snapshot['message']}")
        return SOME_FAILED

    return SOME_FAILED if counts["failed"] else ALL_WRITTEN


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print_counts(upload: Upload, counts: Mapping[str, int], began: float) -> None:
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    seconds = time.monotonic() - began
    print(
        f"{upload.path.name}: {sum(counts.values())} rows in {seconds:.1f} s"
        + (f": {told}" if told else "")
    )
