"""A Chromium for all tests of the page, and a page of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

import lying_cell
import trusting_chromium
from open_page import OpenPage
from trusting_chromium import CHROMIUM, OPTIONS

# Others compute beside these tests. In milliseconds.
expect.set_options(timeout=60_000)


# Of a module: its event loop would be in the way of other tests in the same process.
@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (scripts/setup installs it)")
    started = CHROMIUM
    if os.geteuid() == 0:
        folder = tmp_path_factory.mktemp("chromium")
        started = trusting_chromium.script(folder, [lying_cell.ROOT])
    with sync_playwright() as playwright:
        options = [*OPTIONS, lying_cell.ALL_NAMES_ARE_HERE]
        browser = playwright.chromium.launch(executable_path=started, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    opened = OpenPage(chromium)
    yield opened
    opened.close()
