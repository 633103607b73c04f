"""The cursor: what it carries, and whom it does not serve."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import signing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_partstream.errors import (
    CursorExpiredError,
    CursorInvalidError,
    QueryTooLongError,
)
from django_partstream.parts.cursor import (
    MAX_CURSOR_LENGTH,
    SALT,
    VERSION,
    Binding,
    Owed,
    read,
    sign,
)

#: A busy machine may make any example a slow one.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ANN = Binding(view="shop.Dashboard", user=1, kwargs={"branch": "north"})


def signed(*names: str, query: str = "") -> str:
    token = sign(Owed(query=query, names=names), ANN)
    assert token is not None

    return token


@patient
@given(
    names=st.lists(st.text(min_size=1, max_size=30), min_size=1, unique=True),
    query=st.text(max_size=100),
)
def test_what_is_signed_is_read(names: list[str], query: str) -> None:
    token = sign(Owed(query=query, names=tuple(names)), ANN)
    assert token is not None

    assert read(token, ANN, ttl=60) == Owed(query=query, names=tuple(names))


@patient
@given(
    names=st.lists(st.text(min_size=1, max_size=30), min_size=1, unique=True),
    query=st.text(max_size=100),
)
@example(names=["\ud800", "Zürich", "a"], query="")
def test_it_is_signed_as_django_signs(names: list[str], query: str) -> None:
    token = signed(*names, query=query)
    payload, stamp, _ = token.rsplit(":", 2)

    assert signing.TimestampSigner(salt=SALT).unsign(token) == payload
    version, digest, *content = signing.loads(token, salt=SALT)
    assert (version, digest, content) == (VERSION, ANN.digest, [query, names])
    # What is signed is what Django would have written, to the byte.
    assert signing.b64_decode(payload.encode()) == signing.JSONSerializer().dumps(
        [version, digest, query, names]
    ) or payload.startswith(".")
    assert stamp


def test_nothing_owed_is_no_cursor() -> None:
    assert sign(Owed(query="a=1", names=()), ANN) is None


@pytest.mark.parametrize(
    "other",
    [
        Binding(view="shop.Other", user=1, kwargs={"branch": "north"}),
        Binding(view="shop.Dashboard", user=2, kwargs={"branch": "north"}),
        Binding(view="shop.Dashboard", user=None, kwargs={"branch": "north"}),
        Binding(view="shop.Dashboard", user=1, kwargs={"branch": "south"}),
        Binding(view="shop.Dashboard", user=1, kwargs={}),
    ],
)
def test_it_serves_no_other_view_user_or_address(other: Binding) -> None:
    with pytest.raises(CursorInvalidError) as caught:
        read(signed("orders"), other, ttl=60)

    assert caught.value.detail == (
        "The cursor is not valid here. Start again without a cursor."
    )


def test_every_altered_character_is_noticed() -> None:
    token = signed("orders", query="days=7")

    for place, character in enumerate(token):
        altered = (
            token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        )

        with pytest.raises(CursorInvalidError):
            read(altered, ANN, ttl=60)


@patient
@given(st.text(max_size=200))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(CursorInvalidError):
        read(token, ANN, ttl=60)


def test_a_long_one_is_refused_unread() -> None:
    with pytest.raises(CursorInvalidError):
        read("x" * (MAX_CURSOR_LENGTH + 1), ANN, ttl=60)


def test_an_old_one_is_gone() -> None:
    with pytest.raises(CursorExpiredError):
        read(signed("orders"), ANN, ttl=-1)


def test_an_old_key_is_still_good(settings: Any) -> None:
    token = signed("orders")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a-new-key"

    assert read(token, ANN, ttl=60).names == ("orders",)


def test_content_of_another_make_is_refused() -> None:
    token = signing.dumps(["orders"], salt="django_partstream.cursor")

    with pytest.raises(CursorInvalidError):
        read(token, ANN, ttl=60)


def test_names_that_are_too_long_together_are_kept_as_hashes() -> None:
    names = tuple(f"{number:03d}" + f"{number * 7919:x}" * 20 for number in range(100))
    token = signed(*names, query="q=" + "x" * 900)

    owed = read(token, ANN, ttl=60)

    assert len(token) <= MAX_CURSOR_LENGTH
    assert owed.of(names) == (names, ())


def test_a_long_query_is_refused() -> None:
    with pytest.raises(QueryTooLongError) as caught:
        signed("orders", query="x" * 1025)

    assert caught.value.detail == (
        "The query string has 1025 characters; at most 1024 can be carried by a cursor."
    )


def test_owed_names_come_in_the_order_of_the_plan_and_the_gone_are_told() -> None:
    owed = Owed(query="", names=("c", "gone", "a"))

    assert owed.of(["a", "b", "c"]) == (("a", "c"), ("gone",))
