"""The tutorials do what they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import expect

from asgi_example import ports
from tests import tutorials
from tests.browsing import chromium

#: One that can be written, one that cannot.
FILE = b"number,customer,total,placed\nB1,Eve,1.00,2026-02-01\nB2,Eve,?,2026-02-01\n"


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_the_tutorials_do_what_they_say(
    tmp_path: Path, chromium_path: Path, leave_out: Callable[[str, str], NoReturn]
) -> None:
    if shutil.which("curl") is None:
        leave_out("tutorials", "no curl")

    port = ports.free_port()

    def look() -> None:
        with chromium(chromium_path) as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            expect(page.locator("dt")).to_have_text(
                ["shop", "by_customer", "stock", "weather"]
            )
            expect(page.locator("dd").nth(3)).to_have_text("failed")
            expect(page.locator("dd").nth(2)).to_have_text('{"red":7,"blue":0}')

            page.goto(f"http://127.0.0.1:{port}/upload/")

            with page.expect_download() as download:
                page.set_input_files(
                    "#file",
                    {"name": "b.csv", "mimeType": "text/csv", "buffer": FILE},
                )

            refused = download.value.path().read_text()
            assert "B2,Eve,?" in refused
            assert "B1" not in refused

    assert tutorials.do(tmp_path, port, look=look) >= 12
