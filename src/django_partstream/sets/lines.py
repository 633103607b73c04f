"""Objects of a view, batch by batch in bounded memory, as lines of NDJSON."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from django.utils import timezone, translation

from django_partstream import conf, encoding, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import QuerySet

__all__ = ("after", "begun", "columns", "encoded", "in_locale", "written")


def written(view: Any, found: QuerySet[Any], keys: list[Any] | None) -> Iterator[bytes]:
    """The objects with these keys in this order, those that are not there left out;
    without keys all, in the order of their primary keys."""
    batches = _all(view, found) if keys is None else _by_keys(view, found, keys)

    for batch in batches:
        if piece := encoded(view, batch):
            yield piece


def encoded(view: Any, instances: Sequence[Any]) -> bytes:
    """These objects as the view shows them, one a line."""
    serialized = view.get_serializer(instances, many=True).data

    return b"".join(encoding.encode(one) + b"\n" for one in serialized)


def _by_keys(view: Any, found: QuerySet[Any], keys: list[Any]) -> Iterator[list[Any]]:
    size = conf.current().batch_size

    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        there = reading.allowed(view, found, some)
        yield [there[key] for key in some if key in there]


def _all(view: Any, found: QuerySet[Any]) -> Iterator[list[Any]]:
    last = None
    size = conf.current().batch_size

    while batch := after(found, last):
        last = batch[-1].pk
        yield [row for row in batch if reading.may_see(view, row)]

        if len(batch) < size:
            break


def after(found: QuerySet[Any], last: Any) -> list[Any]:
    """The next batch behind this primary key; None: the first. One query each: no
    cursor is open, and no connection held, while a reader takes its time."""
    ordered = found.order_by("pk")

    if last is not None:
        ordered = ordered.filter(pk__gt=last)

    return list(ordered[: conf.current().batch_size])


def in_locale(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, each in the language and the time zone of now: middleware that sets
    them may have gone when the later ones are made."""
    language, zone = translation.get_language(), timezone.get_current_timezone()

    return _located(pieces, language, zone)


def _located(
    pieces: Iterator[bytes], language: str | None, zone: Any
) -> Iterator[bytes]:
    while True:
        with translation.override(language), timezone.override(zone):
            piece = next(pieces, None)

        if piece is None:
            return

        yield piece


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, the first of them made now: what is wrong shows while there is still
    a status to say so."""
    first: Iterable[bytes] = list(itertools.islice(pieces, 1))

    return itertools.chain(first, pieces)


def columns(view: Any) -> list[str]:
    """The names of what an object shows, for the header of a CSV file."""
    return [
        name
        for name, field in view.get_serializer().fields.items()
        if not field.write_only
    ]
