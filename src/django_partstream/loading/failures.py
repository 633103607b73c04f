"""The rows that failed, as a file beside the one that was sent."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import shutil
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from .following import retried
from .site import Answer, LoadError, refusal, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .site import Site
    from .upload import Upload

__all__ = ("download", "extract")

#: Behind the columns of the input; ignored when the file is sent again.
OWN_COLUMNS = ("_row", "_outcome", "_pk", "_errors")
BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def download(
    site: Site,
    results_url: str,
    upload: Upload,
    say: Callable[[str], None],
) -> Path:
    """What the server has of them, in a new file. Raises LoadError."""
    path, partial = _names(upload)
    as_csv = upload.content_type == "text/csv"
    accept = {"Accept": "text/csv" if as_csv else "application/x-ndjson"}
    separator = "&" if "?" in results_url else "?"

    def ask() -> Answer:
        url = f"{results_url}{separator}outcome=failed"

        with site.open("GET", url, headers=accept) as response:
            answer = Answer(
                status=response.status,
                reason=response.reason,
                headers={},
                body=b"" if response.status == 200 else response.read(),
            )

            if answer.status == 200:
                with partial.open("wb") as file:
                    shutil.copyfileobj(response, file)

        return answer

    with _only_whole(partial):
        answer = retried(ask, say)

        if answer.status != 200:
            raise LoadError(f"The failed rows are not to be had: {refusal(answer)}")

        partial.rename(path)

    return path


def extract(upload: Upload, failed: Sequence[Mapping[str, Any]]) -> Path:
    """The rows of the file that an answer calls failed, in a new file."""
    path, partial = _names(upload)

    with _only_whole(partial):
        with partial.open("w", encoding="utf-8", newline="") as out:
            if upload.content_type == "text/csv":
                _extract_csv(upload, failed, out)
            else:
                _extract_json(upload, failed, out)

        partial.rename(path)

    return path


def _names(upload: Upload) -> tuple[Path, Path]:
    """A name that is free, and the one of the file until it is whole."""
    name = upload.path.name.removesuffix(".gz")
    stem = name.rpartition(".")[0] or name
    suffix = "csv" if upload.content_type == "text/csv" else "ndjson"

    # One that is there may be under correction.
    for number in itertools.count(1):
        counted = "failed" if number == 1 else f"failed-{number}"
        path = upload.path.with_name(f"{stem}.{counted}.{suffix}")

        if not path.exists():
            return path, path.with_name(f".{path.name}.part")

    raise AssertionError("numbers do not end")


@contextlib.contextmanager
def _only_whole(partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        partial.unlink(missing_ok=True)


def _extract_csv(
    upload: Upload, failed: Sequence[Mapping[str, Any]], out: TextIO
) -> None:
    by_line = {row["line"]: row for row in failed}
    writer = csv.writer(out)

    with _text(upload) as text:
        delimiter = _delimiter(text.readline())
        text.seek(0)
        reader = csv.reader(text, delimiter=delimiter)
        header = next(reader)
        kept = [at for at, name in enumerate(header) if name not in OWN_COLUMNS]
        writer.writerow([*(header[at] for at in kept), *OWN_COLUMNS])
        line = reader.line_num + 1

        for cells in reader:
            row = by_line.get(line)
            line = reader.line_num + 1

            if row is not None:
                given = [cells[at] if at < len(cells) else "" for at in kept]
                ours = (row["row"], "failed", "", told(row.get("errors")))
                writer.writerow([*given, *ours])


def _extract_json(
    upload: Upload, failed: Sequence[Mapping[str, Any]], out: TextIO
) -> None:
    by_row = {row["row"]: row for row in failed}

    with _text(upload) as text:
        if upload.content_type == "application/json":
            rows = json.load(text)
        else:
            rows = [json.loads(line) for line in text if line.strip()]

    for number, data in enumerate(rows, start=1):
        if row := by_row.get(number):
            told_of = {**row, "outcome": "failed", "data": data}
            out.write(json.dumps(told_of, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _text(upload: Upload) -> Iterator[TextIO]:
    """The file as text that can be read twice."""
    opener = gzip.open if upload.is_gzip else open

    with cast("BinaryIO", opener(upload.path, "rb")) as file:
        mark = file.read(2)
        file.seek(0)
        encoding = next((name for bom, name in BOMS if mark == bom), "utf-8-sig")

        with io.TextIOWrapper(file, encoding, errors="replace", newline="") as text:
            yield text


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)
