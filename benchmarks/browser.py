"""From a click to the parts that are painted, in a real browser on a slow line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from asgi_example import programs

from . import projects
from .link import slow_link
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

__all__ = ("measure",)

#: Of the line: bytes per second, and seconds there and back.
RATE, ROUND_TRIP = 1_500_000 / 8, 0.15
TAKES: dict[str, tuple[Kind, str]] = {
    "plain DRF, one answer": ("peer", "plain"),
    "ours, NDJSON": ("ours", "stream"),
}
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def measure(scale: Scale) -> list[Figure]:
    chromium = programs.find_chromium()

    if chromium is None:
        raise programs.MissingError("There is no Chromium here, nor Chrome.")

    first: dict[str, list[float]] = {name: [] for name in TAKES}
    last: dict[str, list[float]] = {name: [] for name in TAKES}

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(projects.postgresql(counted=True))
        server = stack.enter_context(serve("ours:application", environment=database))
        line = slow_link(server.port, round_trip=ROUND_TRIP, rate=RATE)
        page = stack.enter_context(_page(str(chromium), stack.enter_context(line)))
        meters = {name: Meter(server, database=database) for name in TAKES}
        takes = {
            name: meters[name](_take(page, way)) for name, (_, way) in TAKES.items()
        }

        for take in takes.values():
            take()

        for name, (painted, done) in alternate(takes, rounds=scale.rounds):
            first[name].append(painted)
            last[name].append(done)

    note = (
        "Chromium, through a link of 1.5 Mbit/s each way and 150 ms there and back; a "
        "connection that is kept. Six parts of 0.2 s each and 300 rows, about 110 kB "
        "together, from the click until the frame in which a part is painted. The "
        "plain view makes them one after the other; nothing is compressed."
    )

    return [
        _figure("browser-first", "the first part is painted", note, first, {}),
        _figure("browser-last", "all parts are painted", note, last, meters),
    ]


def _figure(
    name: str,
    what: str,
    note: str,
    values: dict[str, list[float]],
    meters: dict[str, Meter],
) -> Figure:
    return Figure(
        name=name,
        title=f"In the browser, from the click until {what}",
        unit="ms",
        note=note,
        series=[
            Series(
                label=label,
                kind=TAKES[label][0],
                values=of,
                costs=meters[label].costs(len(of)) if label in meters else {},
            )
            for label, of in values.items()
        ],
    )


@contextlib.contextmanager
def _page(chromium: str, port: int) -> Iterator[Page]:
    # Only this benchmark needs it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(ARGUMENTS)
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/page/")
        page.wait_for_function("window.ready")
        yield page
        browser.close()


def _take(page: Page, way: str) -> Callable[[], tuple[float, float]]:
    def take() -> tuple[float, float]:
        page.click(f"#{way}")
        page.wait_for_function("window.painted.length === 6", timeout=60_000)
        painted: Any = page.evaluate("window.painted")

        return min(painted), max(painted)

    return take
