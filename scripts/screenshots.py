"""Takes the pictures of the page that the documentation has, in Chromium, into docs/images.

What they show is made up: four sites, of which one is cut off, and two hundred. The pages are those
of the tree, with the documents that `uno.web` makes of these networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from page_documents import documents_of, event, session_of  # noqa: E402
from page_server import PageServer, serving  # noqa: E402
from pictures import BOSS, NOW, corp, large, phone_at, picture_of, silent, with_status  # noqa: E402
from uno.web.documents import AlertSeverity, EventRow  # noqa: E402
from uno.web.picture import LinkRates, Picture, link_name  # noqa: E402

IMAGES = ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
READER = replace(BOSS, particles=frozenset({1}))
EVENTS = (
    event(50, AlertSeverity.CRITICAL, "oslo has no contact", cells=(3,)),
    event(49, AlertSeverity.CRITICAL, "link paris – oslo is down", links=("1-3",)),
    event(47, AlertSeverity.INFO, "phone is online at paris", cells=(1,)),
    event(44, AlertSeverity.INFO, "rome runs generation 12", cells=(2,)),
    event(43, AlertSeverity.INFO, "paris runs generation 12", cells=(1,)),
    event(31, AlertSeverity.WARNING, "link paris – rome loses packets", links=("1-2",)),
    event(12, AlertSeverity.INFO, "the agent of paris has started", cells=(1,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture: of which view of which network, and on what screen."""

    name: str
    picture: Callable[[], Picture]
    events: tuple[EventRow, ...] = EVENTS
    view: str = ""
    width: int = 1280
    height: int = 900
    scheme: str = "light"


def cut_off() -> Picture:
    """Return four sites of which oslo has no contact."""
    return silent(healthy(), 3, age=760.0)


def healthy() -> Picture:
    """Return four sites, with measurements that differ."""
    picture = phone_at(picture_of(corp(), viewer=1, generation=12), 1)
    for cell in picture.cells:
        status = picture.cells[cell].status
        assert status is not None
        links = tuple(
            replace(each, rtt=9.5 + 7 * (cell + each.cell) % 41, received=10**9 * cell)
            for each in status.links
        )
        picture = with_status(picture, cell, links=links)
    rates = {
        link_name(pair): LinkRates(receive=9e5 * pair[0], send=2.5e5 * pair[1])
        for pair in picture.links
    }
    return replace(picture, rates=rates)


SHOTS = (
    Shot(name="page-overview", picture=cut_off, height=1000),
    Shot(name="page-overview-dark", picture=healthy, height=900, scheme="dark"),
    Shot(name="page-phone", picture=cut_off, width=360, height=740),
    Shot(name="page-link", picture=healthy, view="links/1-2"),
    Shot(name="page-200-cells", picture=lambda: silent(large(), 124), events=(), height=1220),
    Shot(name="page-particles", picture=healthy, view="particles", height=480),
)


def main() -> int:
    """Take them all."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        for shot in SHOTS:
            documents = documents_of(shot.picture(), READER, shot.events)
            with serving(documents, session_of(READER)) as server:
                take(browser, server, shot)
                print(f"docs/images/{shot.name}.png")
        browser.close()
    return 0


def take(browser: Browser, server: PageServer, shot: Shot) -> None:
    """Take one, once nothing of it is under way."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    page.goto(f"{server.url}#/{shot.view}")
    settle(page)
    page.screenshot(path=IMAGES / f"{shot.name}.png")
    context.close()


def settle(page: Page) -> None:
    """Wait until documents, fonts and charts are there."""
    page.locator("main h1").wait_for()
    page.wait_for_load_state("load")
    page.locator("main .skeleton").first.wait_for(state="detached")
    page.evaluate("document.fonts.ready.then(() => true)")
    if page.locator(".chart").count():
        page.locator(".chart canvas").nth(2).wait_for()
    page.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 50)))")


if __name__ == "__main__":
    sys.exit(main())
