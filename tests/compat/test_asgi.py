"""The further addresses under ASGI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import AsyncClient

from tests.app.models import Contract

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/json"
NDJSON = "application/x-ndjson"


@pytest.mark.parametrize("base", ["/api/contracts/", "/api/async-contracts/"])
async def test_all_addresses_answer(base: str) -> None:
    client = AsyncClient()
    rows = [{"number": n, "year": 1} for n in "AB"]

    accepted = await client.post(f"{base}operations/", rows, JSON)
    upserted = await client.post(f"{base}upsert/?unique_fields=number", rows, JSON)
    read = await client.get(f"{base}operations/")
    lines: Any = await client.get(f"{base}bulk/", headers={"accept": NDJSON})

    assert accepted.status_code == 202
    assert upserted.json()["created_count"] == 2
    assert read.json()["count"] == 2
    assert lines.status_code == 200
    assert len([line async for line in lines]) >= 1


@pytest.mark.parametrize(
    "url",
    [
        "/api/contracts/operations/",
        "/api/async-contracts/operations/",
    ],
)
async def test_a_stream_is_read_off_the_loop(url: str) -> None:
    await Contract.objects.acreate(number="A", year=1)

    response: Any = await AsyncClient().get(url, headers={"accept": NDJSON})

    lines = [json.loads(line) async for line in response]
    assert [line["number"] for line in lines] == ["A"]


@pytest.mark.parametrize("base", ["/api/contracts/", "/api/async-contracts/"])
async def test_every_connection_of_a_stream_is_prepared_for_its_request(
    settings: Any, base: str
) -> None:
    for number in "ABCDE":
        await Contract.objects.acreate(number=number, year=1)

    seen: list[str] = []
    settings.PARTSTREAM = {
        "BATCH_SIZE": 2,
        "CONNECTION_SETUP": lambda request, connection: seen.append(request.path),
    }
    url = f"{base}operations/"

    response: Any = await AsyncClient().get(url, headers={"accept": NDJSON})
    lines = b"".join([piece async for piece in response]).splitlines()

    # The first batch is read in the thread of the request, as its view's queries are.
    assert len(lines) == 5
    assert set(seen) == {url}
    assert len(seen) >= 2
