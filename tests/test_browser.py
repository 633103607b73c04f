"""The page of the example, in a real browser, in front of `make demo`'s own server."""

from __future__ import annotations

import contextlib
import csv
import gzip
import itertools
import json
import lzma
import os
import re
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from asgi_example.processes import Site
from tests.browsing import PATIENCE_MS, chromium

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page, Request

ROOT = Path(__file__).resolve().parent.parent
JANUARY = ROOT / "asgi_example" / "data" / "flights-2013-01.csv.gz"
YEAR = ROOT / "tests" / "data" / "flights-2013.csv.xz"

ROWS, STORED, REFUSED = 27_004, 26_324, 680
#: Among its first 200 rows.
REFUSED_MORNING = 11
REASONS = ["dest SJU486", "dest BQN93", "dest STT70", "dest PSE31"]
COLUMNS = (
    b"year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time "
    b"arr_delay carrier flight tailnum origin dest air_time distance hour minute "
    b"time_hour"
).split()
PARTS = [
    "overview",
    "busiest_routes",
    "delays_by_carrier",
    "delays_by_hour",
    "monthly",
    "slowest_aircraft",
]

LOAD_MS = 180_000

# What a visitor sees of the bar: every value while rows are loaded.
WATCH_BAR = """
bar => {
  window.barValues = [];
  new MutationObserver(() => {
    const running = document.getElementById("job").dataset.state;
    if (bar.hasAttribute("value") && ["running", "done"].includes(running)) {
      window.barValues.push([bar.value, bar.max]);
    }
  }).observe(bar, {attributes: true, attributeFilter: ["value"]});
}
"""

# How far things have moved on the page while it was loading.
WATCH_SHIFTS = """
window.shifted = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""

# Texts whose contrast is below WCAG's AA: 4.5, or 3 where they are large.
TOO_FAINT = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const paint = (...colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(value => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = one => {
    const found = [];
    for (let at = one; at; at = at.parentElement) {
      found.unshift(getComputedStyle(at).backgroundColor);
    }
    return found;
  };
  return [...document.querySelectorAll("body *")]
    .filter(one => [...one.childNodes].some(
      node => node.nodeType === 3 && node.data.trim()))
    .filter(one => one.checkVisibility() && !one.closest(".unseen, .skip, :disabled"))
    .flatMap(one => {
      const style = getComputedStyle(one);
      const ground = grounds(one);
      const [dark, light] = [paint(...ground), paint(...ground, style.color)]
        .map(luminance).sort((a, b) => a - b);
      const contrast = (light + 0.05) / (dark + 0.05);
      const large = parseFloat(style.fontSize) >= 24;
      return contrast < (large ? 3 : 4.5)
        ? [`${contrast.toFixed(2)} ${one.outerHTML.slice(0, 80)}`] : [];
    });
}
"""

# Whatever is wider than a phone, unless it scrolls in a region of its own.
TOO_WIDE = """
() => [...document.querySelectorAll("main *")]
  .filter(one => !one.closest(".scroll, .unseen, [hidden]"))
  .filter(one => one.getBoundingClientRect().right > 375)
  .map(one => one.outerHTML.slice(0, 80))
"""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@dataclass(kw_only=True)
class Visit:
    """A page, and what went wrong on it behind the visitor's back."""

    page: Page
    mishaps: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.mishaps.append(str(error)))
        self.page.on("requestfailed", self._fail)
        self.page.on(
            "console",
            lambda message: (
                self.mishaps.append(message.text)
                if message.type in {"error", "warning"}
                else None
            ),
        )

    def _fail(self, request: Request) -> None:
        # Chromium says so of every `no-store` body that a stream reader has read,
        # to its end or not.
        stream = (
            request.headers.get("accept") == "application/x-ndjson"
            or "/api/dashboard/" in request.url
        )

        if not stream or request.failure != "net::ERR_ABORTED":
            self.mishaps.append(f"{request.url}: {request.failure}")

    def get(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def load(self, file: Path | None = None) -> None:
        """Press the button, with a file or for January, and wait for the end."""
        if file is not None:
            self.get("file").set_input_files(file)

        self.get("load-button").click()
        expect(self.get("job-name")).to_have_text(file.name if file else "January 2013")
        ended = self.page.locator("#job[data-state=done], #load-problem .problem")
        expect(ended.first).to_be_visible(timeout=LOAD_MS)
        expect(self.get("load-problem")).to_be_empty()

    def numbers(self) -> dict[str, int]:
        kinds = ("created", "updated", "unchanged", "refused")
        return {kind: number(self.get(f"count-{kind}")) for kind in kinds}

    def stored(self) -> int:
        """How many flights the dashboard counts."""
        self.get("reload").click()
        expect(self.get("part-overview")).to_have_attribute("data-state", "ok")
        return number(self.get("part-overview").locator("[data-figure=flights]"))


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with chromium(chromium_path) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a page, with the context options of Playwright; checked at the end.

    A guest of the full demo sees no dashboard.
    """
    visits: list[Visit] = []

    with contextlib.ExitStack() as stack:

        def make(url: str, *, guest: bool = False, **options: Any) -> Visit:
            context = stack.enter_context(browser.new_context(**options))
            context.set_default_timeout(PATIENCE_MS)
            made = Visit(page=context.new_page())
            made.watch()
            visits.append(made)
            made.page.goto(url)

            if not guest:
                expect(made.get("dashboard-said")).to_contain_text("the last after")

            return made

        yield make

    assert [mishap for made in visits for mishap in made.mishaps] == []


@contextlib.contextmanager
def serving(**settings: str) -> Iterator[tuple[str, Path]]:
    """`make demo` on a free port and a new database, which is this file."""
    ours = ("DEMO_", "DJANGO_SETTINGS_MODULE", "PYTHONDEVMODE")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }

    with Site() as site:
        environment |= settings
        database = site.directory / "demo.sqlite3"
        environment["DEMO_DB_PATH"] = str(database)
        server = site.start(
            "demo",
            [sys.executable, "-m", "asgi_example.demo", "--port", "0"],
            cwd=ROOT,
            environment=environment,
        )
        server.wait_until_logged("(Ctrl-C stops it)", seconds=60)
        found = re.search(r"Ready: (\S+)", server.output())
        assert found is not None

        if "DEMO_FULL" in settings:
            command = [sys.executable, "asgi_example/manage.py", "seed_users"]
            users = site.start("users", command, cwd=ROOT, environment=environment)
            users.finish(seconds=60)

        yield found[1], database
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def served_demo() -> Iterator[tuple[str, Path]]:
    with serving() as served:
        yield served


@pytest.fixture
def demo(served_demo: tuple[str, Path]) -> str:
    """Without flights and jobs. Each test leaves none that still runs."""
    url, database = served_demo

    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND "
            "(name = 'flights_flight' OR name LIKE 'partstream_job%')"
        ).fetchall()
        assert len(tables) > 2

        for (table,) in tables:
            connection.execute(f"DELETE FROM {table}")

        connection.commit()

    return url


@pytest.fixture
def full_demo() -> Iterator[str]:
    """With users, who have to log in."""
    with serving(DEMO_FULL="1") as (url, _):
        yield url


@pytest.fixture(scope="module")
def loaded_demo() -> Iterator[str]:
    """With January in it; for tests that leave it as it is."""
    with serving() as (url, _), httpx.Client(base_url=url, timeout=60) as client:
        january = client.get("/data/flights-2013-01.csv")
        answer = client.post(
            "/api/flights/?unique_fields=time_hour,carrier,flight",
            content=january.content,
            headers={"Content-Type": "text/csv", "Prefer": "respond-async"},
        )
        assert answer.status_code == 202, answer.text
        frames = follow(client, answer.json()["events_url"])
        assert frames[-2]["state"] == "SUCCESS", frames[-2:]
        yield url


@pytest.fixture(scope="session")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 200 rows of January."""
    path = tmp_path_factory.mktemp("flights") / "morning.csv"

    with gzip.open(JANUARY, "rt") as january, path.open("w") as file:
        file.writelines(itertools.islice(january, 201))

    return path


@pytest.fixture(scope="session")
def spring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 120,000 rows of the year: enough to be cancelled on the way."""
    path = tmp_path_factory.mktemp("flights") / "spring.csv"

    with lzma.open(YEAR, "rt") as year, path.open("w") as file:
        file.writelines(itertools.islice(year, 120_001))

    return path


def follow(client: httpx.Client, events_url: str) -> list[dict[str, Any]]:
    """Every frame of a job, once it has ended."""
    accept = {"Accept": "application/x-ndjson"}

    with client.stream("GET", events_url, headers=accept) as answer:
        return [json.loads(line) for line in answer.iter_lines()]


def number(element: Locator) -> int:
    return int((element.text_content() or "").replace(",", ""))


def download(visit: Visit, name: str, folder: Path) -> Path:
    with visit.page.expect_download() as started:
        visit.get(name).click()

    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def arrivals(visit: Visit) -> dict[str, float]:
    """When each part arrived, from the picture on the page."""
    rows = visit.get("waterfall-row").all()
    return {
        row.get_attribute("data-part") or "": float(
            row.get_attribute("data-arrived") or "nan"
        )
        for row in rows
    }


def take_picture(visitor: Visit, file: Path) -> None:
    """The README's: the job that is done, and a dashboard whose line was cut."""
    page = visitor.page
    page.set_viewport_size({"width": 1184, "height": 1730})
    page.get_by_role("button", name="Refresh the dashboard").click()
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")
    visitor.get("cut").click()
    expect(visitor.get("log")).to_contain_text("Went on after")
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")
    visitor.get("refused").evaluate("refused => { refused.hidden = true; }")
    page.screenshot(path=file, animations="disabled")


def test_january_is_loaded_and_its_bar_moves_to_the_end(demo, visit, tmp_path):
    visitor = visit(demo)
    visitor.get("load-bar").evaluate(WATCH_BAR)

    visitor.load()

    values = [value for value, _ in visitor.page.evaluate("window.barValues")]
    assert values == sorted(values)
    assert values[-1] == ROWS
    assert len(set(values)) >= 3
    assert visitor.numbers() == {
        "created": STORED,
        "updated": 0,
        "unchanged": 0,
        "refused": REFUSED,
    }
    expect(visitor.get("load-rows")).to_have_text("27,004 of 27,004")
    expect(visitor.get("job-word")).to_contain_text("26,324 rows stored, 680 refused.")
    expect(visitor.get("refused-total")).to_have_text("680")
    expect(visitor.get("refused-reasons").locator("li")).to_have_text(REASONS)
    rows = visitor.get("refused-row")
    expect(rows).to_have_count(50)
    expect(rows.first.locator("td")).to_have_text(
        [
            "4",
            "5",
            "dest",
            "BQN",
            "B6 725",
            'Invalid pk "BQN" - object does not exist.',
        ]
    )
    lines = download(visitor, "download-ndjson", tmp_path).read_text().splitlines()
    assert len(lines) == REFUSED
    assert [json.loads(line)["row"] for line in lines[:3]] == [4, 29, 37]

    if "PARTSTREAM_PICTURE" in os.environ:
        take_picture(visitor, ROOT / os.environ["PARTSTREAM_PICTURE"])


def test_refused_rows_can_be_sent_again_as_they_were_downloaded(
    loaded_demo, visit, morning, tmp_path
):
    visitor = visit(loaded_demo)
    visitor.load(morning)
    table = download(visitor, "download-csv", tmp_path)

    visitor.load(table)

    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == REFUSED_MORNING
    assert (rows[0]["_row"], rows[0]["dest"]) == ("4", "BQN")
    assert visitor.numbers() == {
        "created": 0,
        "updated": 0,
        "unchanged": 0,
        "refused": REFUSED_MORNING,
    }
    assert visitor.stored() == STORED


@pytest.mark.parametrize("transport", ["websocket", "ndjson", "pages"])
def test_parts_of_the_dashboard_arrive_one_by_one(loaded_demo, visit, transport):
    visitor = visit(loaded_demo)

    visitor.page.locator("label", has=visitor.get(f"transport-{transport}")).click()
    expect(visitor.get(f"transport-{transport}")).to_be_checked()
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")

    arrived = arrivals(visitor)
    assert list(arrived) == PARTS
    moments = len({round(at) for at in arrived.values()})
    assert moments >= (3 if transport == "pages" else 2), arrived

    for part in PARTS:
        expect(visitor.get(f"part-{part}")).to_have_attribute("data-state", "ok")

    expect(visitor.get("part-overview")).to_contain_text("26,324")
    expect(visitor.get("part-busiest_routes").locator("li").first).to_contain_text(
        "JFK → LAX937"
    )


def test_transports_show_the_same_dashboard(loaded_demo, visit):
    visitor = visit(loaded_demo)
    shown = []

    for transport in ("websocket", "ndjson", "pages"):
        visitor.page.locator("label", has=visitor.get(f"transport-{transport}")).click()
        expect(visitor.get("dashboard-said")).to_contain_text("the last after")
        shown.append(visitor.get("cards").inner_text())

    assert shown[0] == shown[1] == shown[2]


def test_dashboard_of_an_empty_database_says_so(demo, visit):
    visitor = visit(demo)

    expect(visitor.get("part-overview")).to_contain_text("No flights yet")
    expect(visitor.get("part-monthly")).to_contain_text("No flights yet.")


def test_second_load_creates_nothing_and_the_dashboard_can_be_refreshed(
    loaded_demo, visit, morning
):
    visitor = visit(loaded_demo)

    visitor.load(morning)
    visitor.get("refresh-dashboard").click()

    assert visitor.numbers() == {
        "created": 0,
        "updated": 0,
        "unchanged": 200 - REFUSED_MORNING,
        "refused": REFUSED_MORNING,
    }
    expect(visitor.get("part-overview")).to_contain_text("26,324")


def test_reload_of_the_page_goes_on_with_the_job(demo, visit):
    visitor = visit(demo)
    visitor.get("load-button").click()
    visitor.page.wait_for_function("localStorage.getItem('jobs')")

    visitor.page.reload()

    expect(visitor.get("job-state")).to_have_text("Finished", timeout=LOAD_MS)
    assert visitor.numbers()["created"] == STORED
    expect(visitor.get("refused-total")).to_have_text("680")


def test_cancelled_load_keeps_what_it_says_that_it_kept(demo, visit, spring):
    visitor = visit(demo)
    visitor.get("file").set_input_files(spring)
    visitor.get("load-button").click()
    visitor.page.wait_for_function(
        "Number(document.querySelector('[data-count=created]').textContent"
        ".replaceAll(',', '')) > 0",
        timeout=LOAD_MS,
    )

    visitor.get("cancel").click()

    expect(visitor.get("job-state")).to_have_text("Cancelled", timeout=LOAD_MS)
    expect(visitor.get("job-word")).to_contain_text("rows stored")
    created = visitor.numbers()["created"]
    assert 0 < created < 117_000
    assert visitor.stored() == created


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_upload"),
        (b"a,b\n1,2\n", "invalid_columns"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not_csv"),
        (b",".join(COLUMNS) + b"\nCaf\xe9", "undecodable"),
    ],
)
def test_bad_file_is_refused_in_words_and_stores_nothing(
    loaded_demo, visit, tmp_path, content, code
):
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    visitor = visit(loaded_demo)
    visitor.get("file").set_input_files(file)

    visitor.get("load-button").click()

    problem = visitor.get("load-problem").get_by_test_id("problem")
    expect(problem).to_have_attribute("data-code", code)
    expect(problem.get_by_test_id("problem-title")).to_have_text("400 Bad Request")
    expect(problem.get_by_test_id("problem-detail")).not_to_be_empty()
    expect(problem.get_by_test_id("problem-advice")).not_to_be_empty()
    expect(visitor.get("job")).to_be_hidden()
    expect(visitor.get("load-button")).to_be_enabled()
    assert visitor.stored() == STORED
    # A browser calls every 4xx an error on its console.
    assert len(visitor.mishaps) == 1
    assert "400 (Bad Request)" in visitor.mishaps.pop()


def test_member_logs_in_loads_flights_and_logs_out(full_demo, visit, morning):
    visitor = visit(full_demo, guest=True)
    expect(visitor.get("login")).to_be_visible()
    expect(visitor.get("dashboard")).to_be_hidden()
    expect(visitor.get("load-button")).to_be_disabled()

    visitor.get("login").click()
    visitor.page.get_by_label("Name").fill("ann")
    visitor.page.get_by_label("Password").fill("ann-demo")
    visitor.page.keyboard.press("Enter")
    expect(visitor.get("session")).to_contain_text("ann")
    visitor.load(morning)

    assert visitor.numbers()["created"] == 200 - REFUSED_MORNING
    assert visitor.stored() == 200 - REFUSED_MORNING

    # Another browser of hers finds the job by her name.
    visitor.page.evaluate("localStorage.clear()")
    visitor.page.reload()
    expect(visitor.get("job-row")).to_contain_text(f"{REFUSED_MORNING} refused")
    visitor.get("logout").click()
    expect(visitor.get("login")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone(loaded_demo, visit, morning, scheme):
    visitor = visit(
        loaded_demo,
        viewport={"width": 375, "height": 812},
        color_scheme=scheme,
        reduced_motion="reduce",
        has_touch=True,
    )

    visitor.load(morning)
    expect(visitor.get("refused")).to_be_visible()

    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 375
    assert visitor.page.evaluate(TOO_WIDE) == []


def test_part_is_loaded_again_by_keyboard(loaded_demo, visit):
    visitor = visit(loaded_demo)
    expect(visitor.get("part-monthly")).to_have_attribute("data-state", "ok")

    visitor.get("again-monthly").focus()
    visitor.page.keyboard.press("Enter")

    expect(visitor.get("log")).to_contain_text("Asked for Month by month alone")
    expect(visitor.get("log")).to_contain_text("Month by month has come again")
    expect(visitor.get("part-monthly")).to_have_attribute("data-state", "ok")


def test_load_can_be_started_by_keyboard(loaded_demo, visit, morning):
    visitor = visit(loaded_demo)
    visitor.get("file").set_input_files(morning)

    visitor.get("source-own").focus()
    visitor.page.keyboard.press("ArrowUp")
    expect(visitor.get("source-january")).to_be_checked()
    visitor.page.keyboard.press("ArrowDown")
    visitor.page.keyboard.press("Enter")

    expect(visitor.get("job-state")).to_have_text("Finished", timeout=LOAD_MS)
    expect(visitor.get("job-said")).to_contain_text(f"{REFUSED_MORNING} refused.")


@pytest.mark.parametrize("transport", ["websocket", "ndjson", "pages"])
def test_line_that_is_cut_goes_on_where_it_was(loaded_demo, visit, transport):
    visitor = visit(loaded_demo)
    visitor.page.locator("label", has=visitor.get(f"transport-{transport}")).click()
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")
    shown = visitor.get("cards").inner_text()

    visitor.get("cut").click()

    expect(visitor.get("log")).to_contain_text("The line broke")
    expect(visitor.get("log")).to_contain_text("Went on after")
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")
    assert visitor.get("cards").inner_text() == shown
    assert list(arrivals(visitor)) == PARTS
    assert visitor.page.locator(".gap").count() > 0


def test_part_that_failed_is_asked_for_alone(loaded_demo, visit):
    visitor = visit(loaded_demo)
    states = ".part[data-state={}]"

    visitor.get("break").click()
    expect(visitor.page.locator(states.format("failed"))).to_have_count(1)
    expect(visitor.page.locator(states.format("ok"))).to_have_count(len(PARTS) - 1)
    expect(visitor.get("part-problem")).to_contain_text("This part could not be made.")
    visitor.get("part-problem").get_by_role("button").click()

    expect(visitor.page.locator(states.format("ok"))).to_have_count(len(PARTS))
    expect(visitor.get("log")).to_contain_text("alone")


def test_live_dashboard_moves_when_flights_are_loaded_in_another_tab(
    demo, visit, morning
):
    watching, loading = visit(demo), visit(demo)
    watching.page.locator("label", has=watching.get("live")).click()
    expect(watching.get("changes")).to_contain_text("Changes arrive by themselves")
    expect(watching.get("part-monthly")).to_contain_text("No flights yet.")

    loading.load(morning)

    expect(watching.get("part-overview").locator("[data-figure=flights]")).to_have_text(
        str(200 - REFUSED_MORNING)
    )
    expect(watching.get("part-monthly")).to_contain_text("189 flights")
    expect(watching.get("changes")).to_contain_text("have come again")


def test_jobs_before_the_last_one_stay_in_a_list(loaded_demo, visit, morning, tmp_path):
    visitor = visit(loaded_demo)
    visitor.load(morning)
    expect(visitor.get("job-row")).to_have_count(0)
    visitor.load(morning)

    row = visitor.get("job-row")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("morning.csv")
    expect(row).to_contain_text(f"189 as they were, {REFUSED_MORNING} refused")
    refused = download(visitor, "row-download", tmp_path).read_text().splitlines()
    assert len(refused) == REFUSED_MORNING + 1
    visitor.page.reload()
    expect(row).to_contain_text(f"{REFUSED_MORNING} refused")
    expect(visitor.get("job-state")).to_have_text("Finished")


def test_job_is_cancelled_from_the_list(demo, visit, morning, spring):
    visitor = visit(demo)
    visitor.get("file").set_input_files(spring)
    visitor.get("load-button").click()
    expect(visitor.get("job-state")).to_have_text("Loading", timeout=LOAD_MS)
    visitor.get("file").set_input_files(morning)
    visitor.get("load-button").click()
    expect(visitor.get("job-row")).to_contain_text("spring.csv")

    visitor.get("row-cancel").click()

    expect(visitor.get("job-row")).to_contain_text("Cancelled", timeout=LOAD_MS)
    expect(visitor.get("job-name")).to_have_text("morning.csv")
    expect(visitor.get("job-state")).to_have_text("Finished", timeout=LOAD_MS)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_moves_while_the_page_loads(loaded_demo, visit, width):
    visitor = visit("about:blank", guest=True, viewport={"width": width, "height": 900})
    visitor.page.add_init_script(WATCH_SHIFTS)

    visitor.page.goto(loaded_demo)
    expect(visitor.get("dashboard-said")).to_contain_text("the last after")
    # One painted frame more, since shifts are told after they were painted.
    visitor.page.evaluate(
        "new Promise(r => requestAnimationFrame(() => setTimeout(r)))"
    )

    assert visitor.page.evaluate("window.shifted") < 0.01


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(loaded_demo, visit, morning, scheme):
    visitor = visit(loaded_demo, color_scheme=scheme, reduced_motion="reduce")
    visitor.load(morning)
    visitor.get("break").click()
    expect(visitor.get("part-problem")).to_be_visible()

    assert visitor.page.evaluate(TOO_FAINT) == []
