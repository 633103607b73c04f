"""What docs/live.md shows is run."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_partstream.asgi import get_application
from tests import documents, documents_site
from tests.app.models import Customer, Order
from tests.documents import Block
from tests.forms import PATIENCE
from tests.live.http_client import opened
from tests.live.servers import serving
from tests.npm import NODE, PACKAGES

DOCUMENT = "docs/live.md"

pytestmark = pytest.mark.django_db(transaction=True)


def blocks(kind: str) -> list[Block]:
    return [block for block in documents.blocks(DOCUMENT) if block.kind == kind]


@pytest.fixture
def order() -> Order:
    ann = Customer.objects.create(name="Ann")

    return Order.objects.create(pk=1, customer=ann, total=Decimal("12.50"))


@pytest.fixture
def site(settings: Any) -> Any:
    module = documents_site.site(DOCUMENT)
    settings.ROOT_URLCONF = module

    return module


async def test_live_stream_is_as_shown(site: Any, order: Order) -> None:
    (command,) = blocks("sh")
    ((url, headers),) = documents.requests(command)
    shown = [json.loads(line) for line in blocks("json")[0].text.splitlines()]

    async with opened(
        get_application(), url, accept=headers["Accept"].encode()
    ) as stream:
        heard = await stream.hears_until("live")
        await sync_to_async(site.refund)(order)
        heard.append(await stream.hears())

    first, others = shown[:2], shown[2:4]
    assert documents.is_like(first, heard[:2])
    # The two lazy parts come in the order in which they are made.
    by_name = sorted(heard[2:4], key=lambda frame: frame["name"], reverse=True)
    assert [frame["name"] for frame in by_name] == [frame["name"] for frame in others]
    assert [frame["data"] for frame in by_name] == [frame["data"] for frame in others]
    assert documents.is_like(shown[4:], heard[4:])


async def test_refusal_is_as_shown(site: Any, order: Order, monkeypatch: Any) -> None:
    from rest_framework.authentication import SessionAuthentication
    from rest_framework.permissions import IsAuthenticated

    shown = json.loads(blocks("json")[1].text)

    async with opened(get_application(), "/api/dashboard/?live=1") as stream:
        await stream.hears_until("live")
        # As of a session that has expired.
        monkeypatch.setattr(site.Dashboard, "permission_classes", [IsAuthenticated])
        monkeypatch.setattr(
            site.Dashboard, "authentication_classes", [SessionAuthentication]
        )
        await sync_to_async(site.refund)(order)
        end = await stream.hears()

    assert end == shown


@pytest.mark.usefixtures("npm_packages", "order")
async def test_script_prints_what_is_shown(tmp_path: Path) -> None:
    (script,), (printed,) = blocks("js"), blocks("text")

    with serving({}, environment={"DOCUMENT": DOCUMENT}) as (server,):
        text = script.text.replace("localhost:8000", f"127.0.0.1:{server.port}")
        (tmp_path / "follow.mjs").write_text(text)
        (tmp_path / "node_modules").symlink_to(PACKAGES)
        process = await asyncio.create_subprocess_exec(
            NODE,
            "--preserve-symlinks",
            tmp_path / "follow.mjs",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ},
        )

        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()

    assert errors == b""
    # The two lazy parts come in the order in which they are made.
    assert sorted(output.decode().splitlines()) == sorted(printed.text.splitlines())


def test_every_block_is_run() -> None:
    kinds = [block.kind for block in documents.blocks(DOCUMENT)]

    assert kinds == [*["python"] * 3, "sh", "json", "json", "js", "text"]
