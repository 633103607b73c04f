"""The client in a real browser: React and Vue, and lines that break."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import Error, expect

from asgi_example import ports
from asgi_example.processes import Process, Site
from tests import documents
from tests.browsing import PATIENCE_MS, chromium, serve
from tests.proxies import proxy
from tests.socket_proxy import cutting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"now": "ok", "middle": "ok", "slowest": "ok", "flaky": "failed"}
MERGED = {"now": {"city": "Zürich 東京 🛫"}, "middle": 0.15, "slowest": 0.3}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.usefixtures("npm_packages"),
    pytest.mark.timeout(400),
]

GUIDE = "docs/browser-client.md"
MOUNTS = {
    "react": """
import {createElement as h, createRoot, StrictMode} from "react";
import {Load, Orders} from "/guide.js";
const job = {events_url: "/api/operations/1/events/"};
createRoot(document.getElementById("app")).render(
  h(StrictMode, {}, h(Orders), h(Load, {job})));
""",
    "vue": """
import {createApp, h} from "vue";
import {Load, Orders} from "/guide.js";
const job = {events_url: "/api/operations/1/events/"};
createApp({render: () => [h(Orders), h(Load, {job})]}).mount("#app");
""",
}

#: Reads a resource, and keeps what it was given and how.
READER = """
import {connect, stream} from "/client/partstream.js";

window.read = async (url, options = {}) => {
  const {onSocket, ...rest} = options;
  const socket = onSocket ? connect("/ws/partstream/") : undefined;
  window.attempts = [];
  window.frames = [];
  window.failure = null;
  try {
    for await (const frame of stream(url, {
      ...rest,
      socket,
      onAttempt: ({transport, cursor}) =>
        window.attempts.push([transport, Boolean(cursor)]),
    })) {
      window.frames.push(frame);
    }
  } catch (error) {
    window.failure = `${error.name}: ${error.message}`;
  }
  socket?.close();
};
window.ready = true;
"""

REACT = """
import {createElement as h, createRoot, StrictMode, useState} from "react";
import {useJob, useParts} from "/client/react.js";

function Dashboard({url}) {
  const {status, parts, retry, reload} = useParts(url);
  const lines = Object.entries(parts).map(([name, {state, data, error}]) =>
    h("li", {key: name, id: name, "data-state": state},
      state === "failed"
        ? h("button", {onClick: () => retry(name)}, error.code)
        : JSON.stringify(data)));
  return h("section", {id: "dashboard", "data-status": status},
    h("button", {id: "reload", onClick: reload}), h("ul", {}, lines));
}

function Job() {
  const {status, job} = useJob("/operations/1/events/");
  return h("p", {id: "job"}, `${status} ${job?.state} ${job?.progress.current}`);
}

function App() {
  const [address, show] = useState(new URLSearchParams(location.search).get("url"));
  window.show = show;
  return address ? h("div", {}, h(Dashboard, {url: address}), h(Job)) : null;
}

createRoot(document.getElementById("app")).render(h(StrictMode, {}, h(App)));
"""

VUE = """
import {createApp, defineComponent, ref} from "vue";
import {useJob, useParts} from "/client/vue.js";

const address = ref(new URLSearchParams(location.search).get("url"));
window.show = (url) => { address.value = url; };

const Dashboard = defineComponent({
  props: ["url"],
  setup(props) {
    const {status, parts, retry, reload} = useParts(() => props.url);
    return {status, parts, retry, reload};
  },
  template: `
    <section id="dashboard" :data-status="status">
      <button id="reload" @click="reload"></button>
      <ul><li v-for="(part, name) in parts" :key="name" :id="name"
          :data-state="part.state">
        <button v-if="part.state === 'failed'" @click="retry(name)">{{
          part.error.code }}</button>
        <template v-else>{{ JSON.stringify(part.data) }}</template>
      </li></ul>
    </section>`,
});

const Job = defineComponent({
  setup: () => useJob("/operations/1/events/"),
  template: `<p id="job">{{ status }} {{ job?.state }} {{ job?.progress.current }}</p>`,
});

createApp({
  components: {Dashboard, Job},
  setup: () => ({address}),
  template: `<div v-if="address"><Dashboard :url="address" /><Job /></div>`,
}).mount("#app");
"""


#: What it was meanwhile: when we look it may be over.
WATCH_STATES = """
() => {
  const part = document.getElementById("middle");
  window.states = [];
  new MutationObserver(() => window.states.push(part.dataset.state))
    .observe(part, {attributes: true, attributeFilter: ["data-state"]});
}
"""


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with chromium(chromium_path) as browser:
        yield browser


@contextlib.contextmanager
def serving(port: int) -> Iterator[Process]:
    command = [
        *(sys.executable, "-m", "uvicorn", "tests.client_server:application"),
        *("--port", str(port), "--log-level", "warning"),
    ]

    with Site() as site:
        process = site.start("uvicorn", command, cwd=ROOT)
        process.wait_until(lambda: ports.answers(port, "/counts/"), seconds=60)
        yield process


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of `tests.client_server`, for tests that leave it running."""
    port = ports.free_port()

    with serving(port):
        yield port


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens a page with a script in it; nothing may be thrown there."""
    thrown: list[str] = []

    def make(port: int, script: str = READER, query: str = "") -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: thrown.append(str(error)))
        serve(page, script)
        page.goto(f"http://127.0.0.1:{port}/page/{query}")
        return page

    yield make

    assert thrown == []


def counts(port: int, key: str) -> dict[str, int]:
    answer = httpx.get(f"http://127.0.0.1:{port}/counts/", timeout=60).json()
    return {
        name.partition(" ")[2]: count
        for name, count in answer.items()
        if name.startswith(f"{key} ")
    }


def read(page: Page, url: str, **options: Any) -> None:
    page.wait_for_function("window.ready")
    page.evaluate(
        "([url, options]) => { window.reading = read(url, options) }", [url, options]
    )


def finish(page: Page) -> list[dict[str, Any]]:
    """The frames, once the reader has them all."""
    page.evaluate("window.reading")
    assert page.evaluate("window.failure") is None
    frames: list[dict[str, Any]] = page.evaluate("window.frames")
    return frames


def merged(frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        frame["name"]: frame.get("data", frame.get("error", {}).get("code"))
        for frame in frames
        if frame["type"] in {"part", "error"}
    }


@pytest.mark.parametrize(
    ("script", "key"), [(REACT, "react"), (VUE, "vue")], ids=["react", "vue"]
)
def test_framework_shows_parts_retries_one_and_leaves(server, visit, script, key):
    address = f"/dashboard/?key={key}"
    page = visit(server, script, f"?url={address.replace('?', '%3F')}")

    for part, state in PARTS.items():
        expect(page.locator(f"#{part}")).to_have_attribute("data-state", state)

    expect(page.locator("#dashboard")).to_have_attribute("data-status", "ok")
    expect(page.locator("#now")).to_have_text('{"city":"Zürich 東京 🛫"}')
    expect(page.locator("#job")).to_have_text("ok SUCCESS 4")
    # StrictMode mounts twice, and asks once.
    assert counts(server, key)["asked"] == 1

    page.locator("#flaky button").click()
    expect(page.locator("#flaky")).to_have_text('"there"')
    assert counts(server, key) == {"asked": 2, "made": 2, "flaky": 2}

    page.evaluate(WATCH_STATES)
    page.locator("#reload").click()
    page.wait_for_function("window.states.includes('stale')")
    expect(page.locator("#slowest")).to_have_attribute("data-state", "ok")
    assert counts(server, key)["made"] == 4

    page.evaluate(f"show('/endless/?key={key}')")
    expect(page.locator("#never")).to_have_attribute("data-state", "loading")
    expect(page.locator("#middle")).to_have_count(0)
    page.evaluate("show(null)")
    page.wait_for_function(
        f"async () => (await (await fetch('/counts/')).json())['{key} cancelled']"
    )


@pytest.mark.parametrize("onSocket", [False, True], ids=["ndjson", "websocket"])
def test_abort_reaches_the_server(server, visit, onSocket):
    key = f"abort-{onSocket}"
    page = visit(server)
    page.wait_for_function("window.ready")
    page.evaluate(
        """async ([url, onSocket]) => {
          const {connect, stream} = await import("/client/partstream.js");
          const socket = onSocket ? connect("/ws/partstream/") : undefined;
          const aborter = new AbortController();
          window.aborted = (async () => {
            try {
              for await (const frame of stream(url, {socket, signal: aborter.signal})) {
                if (frame.type === "part") aborter.abort();
              }
            } catch (error) { return error.name; }
          })();
        }""",
        [f"/endless/?key={key}", onSocket],
    )

    assert page.evaluate("window.aborted") == "AbortError"
    page.wait_for_function(
        f"async () => (await (await fetch('/counts/')).json())['{key} cancelled']"
    )


@pytest.mark.parametrize("transport", ["websocket", "ndjson", "pages"])
def test_transports_come_to_the_same(server, visit, transport):
    page = visit(server)

    read(
        page,
        f"/dashboard/?key=same-{transport}",
        transport=transport,
        onSocket=transport == "websocket",
    )

    frames = finish(page)
    assert merged(frames) == {**MERGED, "flaky": "failed"}
    assert frames[-1] == {
        "type": "end",
        "ok": 3,
        "failed": 1,
        "cursor": None,
        "reason": "complete",
    }


def test_line_that_is_cut_at_every_frame_comes_to_the_same(server, visit):
    page = visit(server)
    page.wait_for_function("window.ready")

    seen = page.evaluate(
        """async () => {
          const {stream} = await import("/client/partstream.js");
          Math.random = () => 0;
          // After so many reads the body breaks.
          const cutting = (cuts) => async (...asked) => {
            const response = await fetch(...asked);
            const cut = cuts.shift() ?? Infinity;
            const reader = response.body.getReader();
            let reads = 0;
            const body = new ReadableStream({
              async pull(controller) {
                const {value, done} = reads === cut ? {} : await reader.read();
                reads += 1;
                if (value) controller.enqueue(value);
                else if (done) controller.close();
                else {
                  await reader.cancel();
                  controller.error(new TypeError("network error"));
                }
              },
            });
            return new Response(body, {headers: response.headers});
          };
          const read = async (cut) => {
            const frames = [];
            const options = {fetch: cutting([cut, cut]), transport: "ndjson"};
            for await (const frame of stream(`/dashboard/?key=cut-${cut}`, options)) {
              frames.push(frame);
            }
            return frames;
          };
          return Promise.all([0, 1, 2, 3].map(read));
        }"""
    )

    for cut, frames in enumerate(seen):
        values = merged(frames)
        assert values.pop("flaky") in {"failed", "there"}, cut
        assert values == MERGED
        assert [frame["type"] for frame in frames].count("start") == 1
        assert frames[-1]["ok"] + frames[-1]["failed"] == 4


#: Reads a resource over a socket of its own, whose line is cut as the address says.
OVER_CUT_SOCKETS = """
async ([proxy, url, cuts, times]) => {
  const {connect, stream} = await import("/client/partstream.js");
  Math.random = () => 0;
  const read = async (cut) => {
    const address = `ws://127.0.0.1:${proxy}/ws/partstream/?cut=${cut}&times=${times}`;
    const socket = connect(address);
    const attempts = [];
    const frames = [];
    const options = {
      socket,
      transport: "websocket",
      onAttempt: ({error}) => attempts.push(error?.name ?? null),
    };
    for await (const frame of stream(url.replace("CUT", cut), options)) {
      frames.push(frame);
    }
    socket.close();
    return {attempts, frames};
  };
  return Promise.all(cuts.map(read));
}
"""
#: Of a line that is left alone: the acknowledgement, `start`, four parts, `end`, and
#: the goodbye.
MESSAGES, LAST_PART = 8, 6
ERROR = "StreamInterruptedError"


@pytest.mark.parametrize("times", [1, 2])
def test_socket_that_is_cut_at_every_frame_comes_to_the_same(server, visit, times):
    page = visit(server)
    page.wait_for_function("window.ready")
    url = f"/dashboard/?key=socket-{times}-CUT"

    with cutting(server) as proxy_port:
        seen = page.evaluate(
            OVER_CUT_SOCKETS, [proxy_port, url, list(range(MESSAGES + 1)), times]
        )

    broken = [one["attempts"][1:] for one in seen]
    assert broken[0] == [ERROR] * times
    # Where all parts have come, no more is asked for; and where the rest is shorter
    # than what came before, it is cut no more.
    assert all(
        len(errors) == 0 if cut >= LAST_PART else 1 <= len(errors) <= times
        for cut, errors in enumerate(broken)
    ), broken

    for cut, frames in enumerate(one["frames"] for one in seen):
        values = merged(frames)
        assert values.pop("flaky") in {"failed", "there"}, cut
        assert values == MERGED, cut
        assert [frame["type"] for frame in frames].count("start") == 1, cut
        names = [frame["name"] for frame in frames if "name" in frame]
        assert len(names) == len(set(names)) == 4, cut
        assert frames[-1]["ok"] + frames[-1]["failed"] == 4, cut


def test_job_whose_socket_is_cut_at_every_frame_is_followed_to_its_end(server, visit):
    page = visit(server)
    page.wait_for_function("window.ready")

    with cutting(server) as proxy_port:
        seen = page.evaluate(
            OVER_CUT_SOCKETS,
            [proxy_port, "/operations/1/events/", list(range(10)), 1],
        )

    for cut, frames in enumerate(one["frames"] for one in seen):
        steps = [frame["seq"] for frame in frames if frame["type"] == "progress"]
        assert steps == sorted(set(steps)), cut
        assert frames[-2]["state"] == "SUCCESS", cut
        assert frames[-1]["reason"] == "complete", cut


def test_proxy_that_holds_the_body_is_found_out_and_pages_are_read(server, visit):
    with proxy(server, "hold") as port:
        page = visit(port)
        read(page, "/dashboard/?key=held&slower=4", patience=500)

        frames = finish(page)

    assert page.evaluate("window.attempts") == [["ndjson", False], ["pages", False]]
    assert merged(frames) == {**MERGED, "flaky": "there"} or merged(frames) == {
        **MERGED,
        "flaky": "failed",
    }


def test_store_learns_from_frames_that_come_in_one_piece(server, visit):
    with proxy(server, "hold") as port:
        page = visit(port)
        page.wait_for_function("window.ready")
        transports = page.evaluate(
            """async () => {
              const {load} = await import("/client/partstream.js");
              const used = [];
              const onAttempt = ({transport}) => used.push(transport);
              const line = {};
              const store = load("/dashboard/?key=piece", {onAttempt, line});
              await store.reload();
              await store.reload();
              return used;
            }"""
        )

    assert transports == ["ndjson", "pages"]


def test_page_that_is_offline_waits_for_its_network(server, visit, context):
    page = visit(server)
    page.wait_for_function("window.ready")
    context.set_offline(True)
    read(page, "/dashboard/?key=offline")
    page.wait_for_function("window.attempts.length === 1")
    assert counts(server, "offline") == {}

    context.set_offline(False)

    assert merged(finish(page)) == {**MERGED, "flaky": "failed"}
    assert page.evaluate("window.attempts") == [["ndjson", False]]


@pytest.mark.parametrize("onSocket", [False, True], ids=["ndjson", "websocket"])
def test_server_that_restarts_is_found_again_with_the_cursor(visit, onSocket):
    port = ports.free_port()

    with serving(port) as process:
        page = visit(port)
        page.evaluate("Math.random = () => 0.3")
        # Where it restarts there is a part left.
        stuck = f"/dashboard/?key=restart&stuck={process.pid}"
        read(page, stuck, onSocket=onSocket)
        page.wait_for_function("window.frames.some(({name}) => name === 'middle')")
        process.stop()
        process.start()
        process.wait_until(lambda: ports.answers(port, "/counts/"), seconds=60)

        frames = finish(page)

    assert merged(frames) == {**MERGED, "flaky": "failed"}
    names = [frame["name"] for frame in frames if "name" in frame]
    assert len(names) == len(set(names)) == 4
    assert page.evaluate("window.attempts")[-1][1] is True


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        pytest.param(*pair, id=str(pair[0]))
        for pair in documents.pairs(GUIDE, "js", "text")
    ],
)
def test_script_of_the_guide_prints_what_is_shown(server, context, block, shown):
    page = context.new_page()
    printed: list[str] = []
    page.on("console", lambda message: printed.append(f"{message.text}\n"))
    page.on("pageerror", lambda error: printed.append(f"{error}\n"))
    serve(page, block.text)

    with (
        contextlib.suppress(Error),
        page.expect_console_message(
            lambda _: "".join(printed) == shown.text, timeout=60_000
        ),
    ):
        page.goto(f"http://127.0.0.1:{server}/page/")

    assert "".join(printed) == shown.text


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_component_of_the_guide_shows_parts_and_a_job(
    server, visit, context, framework
):
    [block] = [
        block for block in documents.blocks(GUIDE) if block.kind == f"js {framework}"
    ]
    context.route(
        "**/guide.js",
        lambda route: route.fulfill(body=block.text, content_type="text/javascript"),
    )
    page = visit(server, MOUNTS[framework])

    page.get_by_role("button", name="again").click()

    expect(page.locator("#app p").first).to_have_text("3 orders, sunny")
    expect(page.locator("#app p").last).to_have_text("ok SUCCESS 100")


def test_every_block_of_the_guide_is_run():
    kinds = {block.kind for block in documents.blocks(GUIDE)}

    assert kinds == {"html", "js", "js react", "js vue", "text"}
    scripts = [block for block in documents.blocks(GUIDE) if block.kind == "js"]
    assert len(documents.pairs(GUIDE, "js", "text")) == len(scripts)
