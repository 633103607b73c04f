"""A real browser for the tests, and a page for scripts of theirs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

from tests import npm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route

__all__ = ("ARGUMENTS", "CLIENT", "PATIENCE_MS", "chromium", "serve")

CLIENT = (
    Path(__file__).resolve().parent.parent
    / "src/django_partstream/static/django_partstream"
)

#: A headless browser that talks to nobody but us, as any user and in any container.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Until what a test expects is there: a machine may be busy. Nothing waits so long for
#: it to pass.
PATIENCE_MS = 60_000

#: React ships no modules for browsers: each file becomes a function of one module.
COMMON = ("react", "scheduler", "react-dom", "react-dom/client")
EXPORTS = (
    "createElement",
    "StrictMode",
    "useCallback",
    "useMemo",
    "useState",
    "useSyncExternalStore",
)


@contextlib.contextmanager
def chromium(path: Path) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


def serve(page: Page, script: str) -> None:
    """What the page of `client_server` asks for: this script, the client, and React and
    Vue under the names that the client imports."""
    page.route("**/script.js", lambda route: _module(route, script))
    page.route("**/client/*", _client)
    page.route("**/static/django_partstream/*", _client)
    page.route("**/npm/*", _package)


def _module(route: Route, text: str) -> None:
    route.fulfill(body=text, content_type="text/javascript; charset=utf-8")


def _client(route: Route) -> None:
    name = route.request.url.rpartition("/")[2]
    _module(route, (CLIENT / name).read_text())


def _package(route: Route) -> None:
    vue = npm.PACKAGES / "vue/dist/vue.esm-browser.prod.js"
    _module(route, vue.read_text() if "vue" in route.request.url else _react())


def _react() -> str:
    # The development build: only that one renders twice in StrictMode.
    files = {
        name: npm.PACKAGES
        / name.partition("/")[0]
        / f"cjs/{name.replace('/', '-')}.development.js"
        for name in COMMON
    }
    functions = [
        f"define({name!r}, (module, exports, require) => {{\n{file.read_text()}\n}});"
        for name, file in files.items()
    ]
    return "\n".join(
        [
            'const process = {env: {NODE_ENV: "development"}};',
            "const modules = {};",
            "const require = (name) => modules[name];",
            "const define = (name, make) => {",
            "  const module = {exports: {}};",
            "  make(module, module.exports, require);",
            "  modules[name] = module.exports;",
            "};",
            *functions,
            f"export const {{{', '.join(EXPORTS)}}} = modules.react;",
            'export const { createRoot } = modules["react-dom/client"];',
        ]
    )
