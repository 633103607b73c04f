"""Publishing: when it is sent, who is told, and that it never hurts whoever does it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import Client

from django_partstream import apublish, hub, publish, topics, topics_for
from django_partstream.bulk.effects import per_row_reason
from tests.app.models import Account, Article, Contract, Review, Tag
from tests.app.serializers import ContractSerializer

pytestmark = pytest.mark.django_db(transaction=True)

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


class Heard:
    """Counts the messages of each topic."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def put(self, message: Any, /) -> None:
        self.topics.append(message["topic"])

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.topics) < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(*names: str) -> AsyncIterator[Heard]:
    heard = Heard()

    async with hub.listening(heard) as following:
        await following.follow([topics.group_of(name) for name in (*names, "last")])
        yield heard


async def heard_of(
    write: Callable[[], object], *names: str, times: int = 1
) -> list[str]:
    """What is published by `write`, in a thread, before anything else is."""
    async with listening(*names) as heard:
        await sync_to_async(write)()
        await sync_to_async(publish)("last")

        while "last" not in heard.topics:
            await heard.until(len(heard.topics) + 1)

    return heard.topics[:-1]


async def test_publish_reaches_who_follows_the_topic_and_nobody_else() -> None:
    assert await heard_of(lambda: publish("orders", "stock"), "stock") == ["stock"]


async def test_async_publish_has_been_sent_when_it_returns() -> None:
    async with listening("orders") as heard:
        await apublish("orders")

        assert heard.topics == ["orders"]


async def test_in_a_transaction_it_is_sent_on_commit() -> None:
    async with listening("orders") as heard:

        def write() -> list[str]:
            with transaction.atomic():
                publish("orders")
                publish("last")
                time.sleep(0.05)

                return list(heard.topics)

        before = await sync_to_async(write)()
        await heard.until(2)

    assert before == []
    assert heard.topics == ["orders", "last"]


async def test_what_is_rolled_back_is_never_sent() -> None:
    def write() -> None:
        with transaction.atomic():
            publish("orders")
            transaction.set_rollback(True)

    def write_in_part() -> None:
        with transaction.atomic():
            with transaction.atomic():
                publish("stock")
                transaction.set_rollback(True)

            publish("kept")

    assert await heard_of(write, "orders") == []
    assert await heard_of(write_in_part, "stock", "kept") == ["kept"]


async def test_transaction_of_another_database_does_not_hold_it_back() -> None:
    async with listening("orders") as heard:

        def write() -> None:
            with transaction.atomic():
                publish("orders", using="another")

        await sync_to_async(write)()
        await heard.until(1)


async def test_async_publish_waits_for_the_transaction_of_the_requests_thread() -> None:
    async with listening("orders") as heard:
        atomic = transaction.atomic()
        await sync_to_async(atomic.__enter__)()
        await apublish("orders")
        before = list(heard.topics)
        await sync_to_async(atomic.__exit__)(None, None, None)
        await heard.until(1)

    assert before == []


async def test_a_thousand_publishes_of_a_transaction_are_one_message() -> None:
    def write() -> None:
        with transaction.atomic():
            for _ in range(500):
                publish("orders")

            with transaction.atomic():
                publish("stock")
                transaction.set_rollback(True)

            publish("orders")

            with transaction.atomic():
                publish("kept")

    heard = await heard_of(write, "orders", "stock", "kept")

    # Once for those before the savepoint, and once for those after it at the most.
    assert heard in (["orders", "kept"], ["orders", "orders", "kept"])


@pytest.mark.parametrize("topic", ["", 7, None, Account])
def test_topic_must_be_a_text(topic: Any) -> None:
    with pytest.raises(TypeError) as caught:
        publish(topic)

    assert str(caught.value) == (
        f"publish({topic!r}): a topic is a text, such as 'orders'. For a model write "
        "publish(*topics_for(Order))."
    )


@pytest.mark.parametrize("backend", [CORE, PUBSUB], ids=["core", "pubsub"])
async def test_layer_that_is_down_is_logged_and_hurts_nobody(
    settings: Any, caplog: Any, refusing_port: int, backend: str
) -> None:
    hosts = [f"redis://127.0.0.1:{refusing_port}"]
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": backend, "CONFIG": {"hosts": hosts}}
    }

    def write() -> float:
        started = time.perf_counter()

        with transaction.atomic():
            Account.objects.create(name="kept")
            publish("orders")

        return time.perf_counter() - started

    with caplog.at_level(logging.WARNING, "django_partstream"):
        async with listening("orders") as heard:
            seconds = await sync_to_async(write)()
            # Whoever is in this process hears of it all the same.
            await heard.until(1)

    assert await Account.objects.acount() == 1
    # A few milliseconds, unless the machine is busy.
    assert seconds < 5
    assert "the channel layer failed" in caplog.text


def test_process_that_ends_sends_what_it_has_published(
    settings: Any, redis_url: str
) -> None:
    program = (
        "import os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "from django.conf import settings\n"
        f"settings.CHANNEL_LAYERS = {layer(CORE, redis_url)!r}\n"
        "django.setup()\n"
        "from django_partstream import publish\n"
        "import atexit, time\n"
        "began = time.perf_counter()\n"
        # After the threads have ended that are no daemons.
        "atexit.register(lambda: print(time.perf_counter() - began))\n"
        "publish('orders')\n"
    )
    settings.CHANNEL_LAYERS = layer(CORE, redis_url)

    async def follow() -> float:
        async with listening("orders") as heard:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-c", program),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            seconds, errors = await process.communicate()
            assert (process.returncode, errors) == (0, b"")
            await heard.until(1)

        return float(seconds)

    # Its imports, which take as long as the machine pleases, not counted.
    assert asyncio.run(follow()) < 30


def layer(backend: str, url: str) -> dict[str, Any]:
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": [url]}}}


async def test_topics_of_models_are_their_names() -> None:
    assert topics_for(Account, Contract) == ("app.account", "app.contract")


async def test_saving_and_deleting_publish_the_topic_of_the_model() -> None:
    (topic,) = topics_for(Account)

    def save() -> None:
        Account.objects.create(name="ada")

    def delete() -> None:
        Account.objects.all().delete()

    def write_without_signals() -> None:
        Account.objects.bulk_create([Account(name="bob")])
        Account.objects.update(name="bob")

    assert await heard_of(save, topic) == [topic]
    assert await heard_of(delete, topic) == [topic]
    assert await heard_of(write_without_signals, topic) == []


async def test_row_in_two_tables_changes_both_models() -> None:
    names = topics_for(Article, Review)

    def save_child() -> None:
        Review.objects.create(slug="a", title="a", stars=1)

    def save_parent() -> None:
        Article.objects.get(slug="a").save()

    assert set(await heard_of(save_child, *names)) == set(names)
    assert set(await heard_of(save_parent, *names)) == set(names)


async def test_many_to_many_relations_change_the_models_of_both_ends() -> None:
    names = topics_for(Article, Tag)
    article = await Article.objects.acreate(slug="a", title="a")
    tag = await Tag.objects.acreate(name="t")

    for change in (
        lambda: article.tags.add(tag),
        lambda: article.tags.remove(tag),
        lambda: tag.article_set.set([article]),
        article.tags.clear,
    ):
        assert set(await heard_of(change, *names)) == set(names)


async def test_bulk_writes_publish_once_however_many_rows(client: Client) -> None:
    """In every process, whether or not it has called topics_for."""

    def upsert(rows: list[Any], status: int = 200) -> None:
        response = client.post(
            "/api/contracts/?unique_fields=number",
            rows,
            content_type="application/json",
        )
        assert response.status_code == status, response.content

    rows = [{"number": f"c{n}", "year": 2020} for n in range(50)]
    bad = [{"number": "new", "year": 2020}, {"number": "bad", "year": "no"}]

    assert await heard_of(lambda: upsert(rows), "app.contract") == ["app.contract"]
    assert await heard_of(lambda: upsert(bad, 400), "app.contract") == []


async def test_bulk_writes_publish_what_they_link(client: Client) -> None:
    topics_for(Tag)
    tag = await Tag.objects.acreate(name="t")

    def upsert(**row: Any) -> None:
        response = client.post(
            "/api/articles/?unique_fields=slug",
            [{"slug": "a", "title": "A", **row}],
            content_type="application/json",
        )
        assert response.headers["Bulk-Mode"] == "batch"

    names = ("app.tag", "app.article")
    both = {"app.tag", "app.article"}
    assert {*await heard_of(lambda: upsert(tags=[tag.pk]), *names)} == both
    assert await heard_of(lambda: upsert(tags=[tag.pk], title="B"), *names) == [
        "app.article"
    ]
    assert {*await heard_of(lambda: upsert(tags=[]), *names)} == both


async def test_hooked_model_is_still_written_in_batches() -> None:
    topics_for(Contract)
    serializer = ContractSerializer(data={})

    reason = await sync_to_async(per_row_reason)(serializer, Contract, {})

    assert reason is None
