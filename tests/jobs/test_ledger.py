"""What a commit did to its rows comes out of the ledger as it went in."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk.outcome import Kind
from django_partstream.jobs import ledger

KINDS = st.sampled_from([kind.value for kind in Kind])
PKS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.uuids().map(str), st.text(max_size=9)
)


def packed(outcomes: list[tuple[str, Any]]) -> bytes:
    return ledger.pack(
        [kind for kind, _ in outcomes],
        [pk for kind, pk in outcomes if kind != "failed"],
    )


@given(rows=st.lists(st.tuples(KINDS, PKS)))
def test_what_was_packed_is_unpacked(rows: list[tuple[str, Any]]) -> None:
    outcomes = [(kind, None if kind == "failed" else pk) for kind, pk in rows]

    assert [*ledger.unpack(packed(outcomes))] == outcomes


@given(kinds=st.lists(KINDS, max_size=50), first=st.integers(-5, 2**40))
def test_keys_that_count_up_are_unpacked(kinds: list[str], first: int) -> None:
    count = itertools.count(first)
    outcomes = [(kind, None if kind == "failed" else next(count)) for kind in kinds]

    assert [*ledger.unpack(packed(outcomes))] == outcomes


def test_what_json_has_no_form_for_is_text() -> None:
    pk = uuid.uuid4()

    assert [*ledger.unpack(ledger.pack([Kind.CREATED], [pk]))] == [("created", str(pk))]


def test_new_rows_cost_the_ledger_next_to_nothing() -> None:
    packed = ledger.pack([Kind.CREATED] * 50_000, range(7, 50_007))

    assert len(packed) < 500
    assert sum(1 for _ in ledger.unpack(packed)) == 50_000
