"""Dates, times, moments and durations in ISO 8601, as Django parses it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils.dateparse import (
    parse_date,
    parse_datetime,
    parse_duration,
    parse_time,
)
from rest_framework import ISO_8601
from rest_framework.settings import api_settings

from .reading import UNSURE, Reading
from .rules import rules_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rules import Rules

__all__ = ("date", "duration", "moment", "time")


def moment(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None or not _is_iso(field, "DATETIME_INPUT_FORMATS"):
        return None

    zone = field.timezone if hasattr(field, "timezone") else field.default_timezone()
    is_known = type(zone) is ZoneInfo or zone is datetime.UTC

    def enforced(value: str) -> Any:
        found = parse_datetime(value)

        if found is None:
            return UNSURE

        if is_known and found.tzinfo is not None:
            return found.astimezone(zone)

        return field.enforce_timezone(found)

    def texts(values: list[Any]) -> list[Any] | None:
        # What Django's parser tries first.
        try:
            found = [*map(datetime.datetime.fromisoformat, values)]

            if any(value.tzinfo is None for value in found):
                return None

            return [value.astimezone(zone) for value in found]
        except (OverflowError, ValueError):
            return None

    whole: dict[type, Callable[[list[Any]], list[Any] | None]] = {}

    if is_known and rules.is_empty:
        whole[str] = texts

    return _reading(field, rules, enforced, whole)


def date(field: Any) -> Reading | None:
    return _parsed(field, "DATE_INPUT_FORMATS", parse_date)


def time(field: Any) -> Reading | None:
    return _parsed(field, "TIME_INPUT_FORMATS", parse_time)


def duration(field: Any) -> Reading | None:
    rules = rules_of(field)

    return None if rules is None else _reading(field, rules, parse_duration)


def _parsed(field: Any, setting: str, parse: Callable[[str], Any]) -> Reading | None:
    rules = rules_of(field)

    if rules is None or not _is_iso(field, setting):
        return None

    return _reading(field, rules, parse)


def _is_iso(field: Any, setting: str) -> bool:
    """Whether ISO 8601 is the first form that the field tries."""
    formats = getattr(field, "input_formats", getattr(api_settings, setting))

    return bool(formats) and formats[0].lower() == ISO_8601


def _reading(
    field: Any,
    rules: Rules,
    parse: Callable[[str], Any],
    whole: dict[type, Callable[[list[Any]], list[Any] | None]] | None = None,
) -> Reading:
    def of_text(value: str) -> Any:
        found = parse(value)

        return UNSURE if found is None or not rules.admits(found) else found

    return Reading(
        one={str: of_text},
        whole=whole or {},
        null=None if field.allow_null else UNSURE,
    )
