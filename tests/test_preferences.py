"""The Prefer header, RFC 7240."""

from __future__ import annotations

import pytest

from django_partstream.preferences import parse


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (None, {}),
        ("", {}),
        ("respond-async", {"respond-async": ""}),
        ("Respond-Async, wait=10", {"respond-async": "", "wait": "10"}),
        ('foo; bar="a, b", return=minimal', {"foo": "", "return": "minimal"}),
        ('return="minimal"', {"return": "minimal"}),
        ("return=minimal, return=representation", {"return": "minimal"}),
        ("wait = 5 ;x=y", {"wait": "5"}),
        (", ,;;=,", {}),
    ],
)
def test_what_is_read(header: str | None, values: dict[str, str]) -> None:
    assert parse(header).values == values


def test_what_we_heed() -> None:
    preferences = parse("respond-async, return=minimal")

    assert preferences.respond_async
    assert preferences.minimal
    assert not parse("return=representation").minimal
