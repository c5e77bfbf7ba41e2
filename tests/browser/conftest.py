"""A Chromium for all tests of the page, and a page of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from open_page import OpenPage

CHROMIUM = Path("/usr/bin/chromium")

# Others compute beside these tests. In milliseconds.
expect.set_options(timeout=60_000)


# Of a module: its event loop would be in the way of other tests in the same process.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (scripts/setup installs it)")
    with sync_playwright() as playwright:
        # Root has no sandbox of Chromium's; it opens pages of this tree alone.
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    opened = OpenPage(chromium)
    yield opened
    opened.close()
