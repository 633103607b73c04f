"""The guide's troubleshooting: each mistake has an error that says what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import AsyncClient, Client

from tests.guide import mistakes

pytestmark = pytest.mark.django_db

SAYS = {
    "no-list": "get_parts() returned None. It must return a list of (name, value) "
    "pairs; return [] for none.",
    "dict": "get_parts() returned dict. It must return a list of (name, value) pairs.",
    "called": "lazy() needs a function, not dict. Was the function called already? "
    "Write lazy(self.get_data), not lazy(self.get_data()).",
    "called-safe": "safe_call() needs a function, not dict. Was the function called "
    "already? Write safe_call(self.get_data), not safe_call(self.get_data()).",
    "called-async": "lazy() needs a function, not coroutine. Was the function called "
    "already? Write lazy(self.get_data), not lazy(self.get_data()).",
    "two-arguments": "lazy(<lambda>.<locals>.<lambda>): the function takes (request, "
    "password), but it is called with the request, or with nothing. Give its other "
    "arguments a default, or wrap it: lazy(lambda request: …).",
    "twice": "get_parts() has two parts with the name 'password'. Each name must be "
    "there once.",
    "without-lazy": "Part 'password' is a function. Write lazy(fn), so that it is "
    "called when the part is sent, or call it.",
    "composed-without-lazy": "Part 'password' is a function. Write lazy(fn), so that "
    "it is called when the part is sent, or call it.",
    "no-pair": "get_parts()[0] is str; expected a pair: (name, value) or (name, "
    "lazy(fn)).",
    "number": "get_parts()[0] has the name 7; expected a string of 1 to 100 "
    "characters.",
    "comma": "The part name 'pass,word' has a comma, which separates names in "
    "?parts=a,b.",
    "timeout": "lazy(timeout=-1): expected seconds above zero.",
    "timeout-text": "lazy(timeout='30'): expected seconds above zero.",
    "thread": "lazy(thread='own'): expected 'pool' or 'request'.",
    "topics": "lazy(topics='orders'): expected a tuple of names, such as "
    "topics=('orders',).",
    "serializer": "lazy(serializer=…): expected a serializer class, not an object of "
    "object. Write serializer=OrderSerializer.",
    "no-seconds": "with_timeout() needs seconds: with_timeout(self.get_data, 30), or "
    "@with_timeout(30).",
    "ttl": "cached_for(0): expected seconds above zero.",
    "unknown": "cached_for: mistaken.<locals>.Mistaken.over_a_lock.<locals>.<lambda> "
    "holds an object of _thread.lock, which has nothing that tells it from another, so "
    "that one's data could be served for the other's. Make the function a method of "
    "the view, or pass plain values such as keys and dates.",
    "lazy-inside": "safe_call() got what lazy() made. lazy comes last: "
    "lazy(safe_call(self.get_data)).",
    "lazy-twice": "lazy() got what lazy() made. lazy comes once.",
}


def test_every_mistake_is_known() -> None:
    assert SAYS.keys() == mistakes.PARTS.keys()


@pytest.mark.parametrize("mistake", [*SAYS])
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_a_mistake_is_said_to_its_author_alone(
    async_client: AsyncClient,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    mistake: str,
    accept: str,
) -> None:
    url, headers = f"/mistakes/{mistake}/", {"Accept": accept}
    response = await async_client.get(url, headers=headers)

    assert response.status_code == 500
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_plan"
    assert "password" not in response.content.decode()
    assert "lazy" not in response.content.decode()
    assert SAYS[mistake] in caplog.text

    settings.DEBUG = True
    response = await async_client.get(url, headers=headers)

    assert response.json()["detail"] == SAYS[mistake]


def test_an_empty_list_is_no_mistake(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    view: Any = mistakes.VIEWS["no-list"]
    monkeypatch.setattr(view, "get_parts", lambda self: [])

    page = client.get("/mistakes/no-list/").json()

    assert page["results"] == []
    assert page["cursor"] is None


async def test_a_coroutine_as_a_value_is_awaited(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    view: Any = mistakes.VIEWS["no-list"]

    async def answer(self: Any) -> Any:
        await asyncio.sleep(0)

        return 42

    monkeypatch.setattr(view, "get_parts", lambda self: [("data", answer(self))])

    page = (await async_client.get("/mistakes/no-list/")).json()

    assert page["results"] == [{"data": 42}]
