"""CONNECTION_SETUP: a connection works for one request, and for no other after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import AsyncRequestFactory

from django_partstream import ProgressiveView, lazy, offload, unobserve
from tests import documents
from tests.offload.databases import KEPT, kept
from tests.settings import TEST_DATABASE

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

on_postgresql = pytest.mark.skipif(
    TEST_DATABASE != "postgresql", reason="about PostgreSQL"
)

Setup = Callable[[Any, Any], Any]


@pytest.fixture(params=KEPT)
def how(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    offload.close()

    with kept(request.param):
        yield request.param
        offload.close()


@pytest.fixture
def set_up(settings: Any) -> Callable[[Setup | str], None]:
    def install(hook: Setup | str) -> None:
        settings.PARTSTREAM = {"CONNECTION_SETUP": hook}

    return install


def of(request: Any, fn: Callable[..., Any], *args: Any) -> Awaitable[Any]:
    """Call `fn` as the work of this request."""

    async def call() -> Any:
        with offload.running_with(offload.run_sync, request=request):
            return await offload.run_here(fn, *args)

    return call()


def query(sql: str = "SELECT 1", *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)

        return cursor.fetchone()[0]


async def test_it_is_called_for_each_connection_of_each_call(
    how: str, set_up: Callable[[Setup], None]
) -> None:
    calls: list[tuple[Any, str]] = []
    set_up(lambda request, connection: calls.append((request, connection.alias)))

    def lazily() -> None:
        assert calls == []
        query()
        query()

    await of("a", lazily)
    assert calls == [("a", "default")]

    await of("b", query)
    assert calls == [("a", "default"), ("b", "default")]

    # A call of nobody's request.
    await offload.run_sync(query)
    assert calls == [("a", "default"), ("b", "default")]


def by_path(request: Any, connection: Any) -> None:
    raise LookupError(f"{request} on {connection.alias}")


async def test_one_that_fails_fails_the_call_and_leaves_no_connection(
    how: str, set_up: Callable[[Setup | str], None]
) -> None:
    set_up("tests.offload.test_setup.by_path")
    seen: list[object] = []

    def call() -> None:
        try:
            query()
        finally:
            seen.append(connection.connection)

    with pytest.raises(LookupError, match="a on default"):
        await of("a", call)

    assert seen == [None]


def owner(request: Any, connection: Any) -> None:
    if request is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.owner', %s, false)", [request])


def only_a(request: Any, connection: Any) -> None:
    if request == "a":
        owner(request, connection)


WHOSE = "SELECT coalesce(nullif(current_setting('app.owner', true), ''), 'nobody')"


@on_postgresql
async def test_the_next_one_sees_no_setting_of_it(
    how: str, set_up: Callable[[Setup], None]
) -> None:
    set_up(only_a)

    for _ in range(3):
        assert await of("a", query, WHOSE) == "a"
        assert await offload.run_sync(query, WHOSE) == "nobody"
        assert await of("a", query, WHOSE) == "a"
        assert await of("b", query, WHOSE) == "nobody"

    # Nor does a thread that is not ours, and shares Django's pool.
    assert await offload.run_in_request_thread(query, WHOSE) == "nobody"
    await offload.run_in_request_thread(lambda: connection.close())


@on_postgresql
async def test_a_part_that_closes_its_connection_hands_no_setting_on(
    how: str, set_up: Callable[[Setup], None]
) -> None:
    set_up(only_a)

    def closes() -> tuple[str, str]:
        before = query(WHOSE)
        connection.close()

        return before, query(WHOSE)

    assert await of("a", closes) == ("a", "a")
    assert await of("b", closes) == ("nobody", "nobody")


@on_postgresql
@pytest.mark.parametrize("how", ["thread"], indirect=True)
async def test_what_can_be_undone_leaves_the_connection_to_the_next(
    how: str, set_up: Callable[[Setup], None]
) -> None:
    def with_undo(request: Any, connection: Any) -> Callable[[], None]:
        owner(request, connection)

        return lambda: owner("", connection)

    set_up(with_undo)
    pid = await of("a", query, "SELECT pg_backend_pid()")

    assert await of("b", query, WHOSE) == "b"
    assert await offload.run_sync(query, WHOSE) == "nobody"
    assert await offload.run_sync(query, "SELECT pg_backend_pid()") == pid


@pytest.fixture
def rows_of_owners(transactional_db: None) -> Iterator[None]:
    """A table whose rows only their owners see."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE ROLE reader;
            CREATE TABLE note (owner text, text text);
            GRANT SELECT ON note TO reader;
            ALTER TABLE note ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON note USING (owner = current_setting('app.owner'));
            INSERT INTO note VALUES ('ada', 'ada''s'), ('bob', 'bob''s');
            """
        )

    yield

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE note; DROP ROLE reader")


@on_postgresql
@pytest.mark.parametrize("how", ["thread", "pool"], indirect=True)
async def test_the_tenants_of_the_documentation(
    how: str, set_up: Callable[[Setup], None]
) -> None:
    module = documents.run_python("docs/operations.md")
    unobserve(module.log_slow_parts)
    set_up(module.set_tenant)
    tenant = WHOSE.replace("app.owner", "shop.tenant")

    async def ask(who: str) -> None:
        request = AsyncRequestFactory().get("/", headers={"tenant": who})

        assert await of(request, query, tenant) == who

    await asyncio.gather(*(ask(who) for who in ("ada", "bob") * 10))
    assert await offload.run_sync(query, tenant) == "nobody"


def as_reader(request: Any, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SET ROLE reader; SELECT set_config('app.owner', %s, false)",
            [request.headers["owner"]],
        )


class Notes(ProgressiveView):
    authentication_classes: list[Any] = []

    def get_parts(self) -> Any:
        return [(f"part {n}", lazy(self.notes)) for n in range(10)]

    def notes(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT text FROM note")

            return [text for (text,) in cursor.fetchall()]


@on_postgresql
@pytest.mark.usefixtures("rows_of_owners")
async def test_row_level_security_holds_in_parts(
    how: str, set_up: Callable[[Setup | str], None]
) -> None:
    set_up("tests.offload.test_setup.as_reader")
    view: Any = Notes.as_view()

    async def ask(who: str) -> None:
        request = AsyncRequestFactory().get("/?chunk_size=10", headers={"owner": who})
        request.user = AnonymousUser()
        response = await view(request)

        results = json.loads(response.render().content)["results"]

        assert results == [{f"part {n}": [f"{who}'s"]} for n in range(10)]

    await asyncio.gather(*(ask(who) for who in ("ada", "bob") * 5))

    # The superuser of the tests sees both: without the role.
    assert await offload.run_sync(query, "SELECT count(*) FROM note") == 2
