"""What get_parts() may return, and what is said when it returns something else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from django_partstream import lazy
from django_partstream.errors import PlanError, UnknownPartError
from django_partstream.parts.plan import make_plan


def plan_error(pairs: Any, *, max_parts: int = 100) -> str:
    with pytest.raises(PlanError) as caught:
        make_plan(pairs, max_parts=max_parts)

    return caught.value.detail


def test_a_missing_list_is_said() -> None:
    assert plan_error(None) == (
        "get_parts() returned None. It must return a list of (name, value) pairs; "
        "return [] for none."
    )


def test_a_dict_is_no_list_of_pairs() -> None:
    assert plan_error({"orders": 1}) == (
        "get_parts() returned dict. It must return a list of (name, value) pairs."
    )


def test_what_is_no_pair_is_said_with_its_place() -> None:
    assert plan_error([("meta", 1), "orders"]) == (
        "get_parts()[1] is str; expected a pair: (name, value) or (name, lazy(fn))."
    )


def test_a_name_must_be_text() -> None:
    assert plan_error([(7, 1)]) == (
        "get_parts()[0] has the name 7; expected a string of 1 to 100 characters."
    )


def test_a_name_twice_is_refused() -> None:
    assert plan_error([("orders", 1), ("orders", 2)]) == (
        "get_parts() has two parts with the name 'orders'. Each name must be there "
        "once."
    )


def test_a_bare_function_is_refused() -> None:
    assert plan_error([("orders", print)]) == (
        "Part 'orders' is a function. Write lazy(fn), so that it is called when the "
        "part is sent, or call it."
    )


def test_too_many_parts_are_refused() -> None:
    assert plan_error([("a", 1), ("b", 2)], max_parts=1) == (
        "get_parts() returned 2 parts; MAX_PARTS allows 1. Make one part of several, "
        "or raise PARTSTREAM['MAX_PARTS']."
    )


def test_an_empty_list_is_a_plan() -> None:
    assert make_plan([], max_parts=1).names == ()


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    plan = make_plan([("a", 1), ("b", 2)], max_parts=9)

    with pytest.raises(UnknownPartError, match="no part 'x'") as caught:
        plan.only(["x", "a"])

    assert caught.value.detail == "There is no part 'x'. Known parts: 'a', 'b'."


def test_a_called_function_is_refused_with_the_mend() -> None:
    with pytest.raises(TypeError) as caught:
        lazy({"already": "called"})  # type: ignore[arg-type]

    assert str(caught.value) == (
        "lazy() needs a function, not dict. Was the function called already? Write "
        "lazy(self.get_data), not lazy(self.get_data())."
    )


def test_a_called_async_function_is_refused_and_closed() -> None:
    async def get_data() -> None: ...

    with pytest.raises(TypeError, match="not coroutine"):
        lazy(get_data())  # type: ignore[arg-type]


def test_a_function_of_two_arguments_is_refused() -> None:
    def get_data(request: Any, user: Any) -> None: ...

    with pytest.raises(TypeError) as caught:
        lazy(get_data)

    assert "takes (request: 'Any', user: 'Any') -> 'None'" in str(caught.value)
    assert "called with the request, or with nothing" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "takes_request"),
    [
        (lambda: 1, False),
        (lambda request: 1, True),
        (lambda request=None: 1, True),
        (lambda *args: 1, True),
        (lambda name="kept from a loop": 1, False),
        (dict, True),
    ],
)
def test_a_function_is_given_the_request_where_it_takes_it(
    function: Any, takes_request: bool
) -> None:
    assert lazy(function).takes_request is takes_request


class Named:
    def plain(self) -> int:
        return 1

    def asking(self, request: Any) -> int:
        return 1


def test_functions_of_one_code_are_told_apart() -> None:
    def make(kind: str) -> Any:
        if kind == "plain":
            return lambda value, *, request=None: value

        function = make("plain")

        if kind == "with a default":
            function.__defaults__ = (1,)
        elif kind == "with nothing to be left out":
            function.__kwdefaults__ = None
        elif kind == "decorated":
            function.__wrapped__ = lambda: 1

        return function

    for _ in range(2):
        assert lazy(make("plain")).takes_request is True
        assert lazy(make("with a default")).takes_request is True
        assert lazy(make("decorated")).takes_request is False
        assert lazy(Named().plain).takes_request is False
        assert lazy(Named.plain).takes_request is True
        assert lazy(Named().asking).takes_request is True

        with pytest.raises(TypeError, match="it is called with the request, or with"):
            lazy(make("with nothing to be left out"))

        with pytest.raises(TypeError, match="it is called with the request, or with"):
            lazy(Named.asking)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="expected seconds above zero"):
        lazy(dict, timeout=0)

    with pytest.raises(ValueError, match="expected 'pool' or 'request'"):
        lazy(dict, thread="other")  # type: ignore[arg-type]


@pytest.mark.parametrize("topics", ["orders", ("orders", ""), [7]])
def test_topics_must_be_names(topics: Any) -> None:
    message = (
        f"lazy(topics={topics!r}): expected a tuple of names, such as "
        "topics=('orders',)."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        lazy(list, topics=topics)


def test_topics_are_kept_in_order_and_once() -> None:
    assert lazy(list, topics=["b", "a", "b"]).topics == ("b", "a")
