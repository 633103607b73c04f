"""A browser's own EventSource, which reconnects as the standard says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from tests.browsing import ARGUMENTS, PATIENCE_MS
from tests.streams.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

#: Until it gives up, which it only does when it is told to stay away.
LISTEN = """
url => new Promise(resolve => {
  const heard = [];
  const source = new EventSource(url);
  for (const type of ["start", "part", "part-error", "end", "message"])
    source.addEventListener(type, event =>
      heard.push([event.type, event.lastEventId, JSON.parse(event.data)]));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) resolve(heard);
  });
})
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def page(server: Server, chromium_path: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=ARGUMENTS, timeout=PATIENCE_MS
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{server.port}/blank/")

        yield page

        browser.close()


def test_event_source_resumes_a_cut_stream_and_stops_at_its_end(
    page: Page, server: Server
) -> None:
    heard: list[Any] = page.evaluate(LISTEN, "/cut/")

    assert [(kind, last) for kind, last, _ in heard] == [
        ("start", "owes-a-b"),
        ("part", "owes-b"),
        ("start", "owes-b"),
        ("part", "owes-b"),
        ("end", "done"),
    ]
    assert [frame["data"] for kind, _, frame in heard if kind == "part"] == [1, 2]
    assert server.state()["cuts"] == ["anew", "owes-b", "done"]


def test_event_source_gives_up_where_it_is_refused(page: Page) -> None:
    assert page.evaluate(LISTEN, "/needs-user/") == []
