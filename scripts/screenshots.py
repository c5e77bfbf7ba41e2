"""Takes the pictures of the page that the documentation has, in Chromium, into docs/images.

What they show is made up: four sites, of which one is cut off, and two hundred. The pages are those
of the tree, with the documents that `uno.web` makes of these networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
# Seconds before now.
LOST, BACK = 760, 540


def history(*newest: EventRow) -> tuple[EventRow, ...]:
    """Return the events of a day, the newest first."""
    return (
        *newest,
        happened(LOST + 1, AlertSeverity.CRITICAL, "link paris – oslo is down", links=("1-3",)),
        happened(3300, AlertSeverity.INFO, "phone is online at paris", cells=(1,)),
        happened(7258, AlertSeverity.INFO, "rome runs generation 12", cells=(2,)),
        happened(7260, AlertSeverity.INFO, "paris runs generation 12", cells=(1,)),
        happened(24100, AlertSeverity.WARNING, "link paris – rome loses packets", links=("1-2",)),
        happened(45700, AlertSeverity.INFO, "the agent of paris has started", cells=(1,)),
    )


def happened(ago: int, severity: AlertSeverity, text: str, **about: Any) -> EventRow:
    """Return an event of so many seconds ago."""
    return replace(event(10**6 - ago, severity, text, **about), time=NOW - ago)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture: of which view of which network, and on what screen."""

    name: str
    picture: Callable[[], Picture]
    events: tuple[EventRow, ...]
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
            replace(
                each,
                rtt=8.0 + 4 * (cell + each.cell) % 41,
                received=11 * 10**8 * cell,
                sent=3 * 10**8 * (cell + each.cell),
            )
            for each in status.links
        )
        picture = with_status(picture, cell, links=links)
    rates = {
        link_name(pair): LinkRates(receive=3.1e5 * pair[0], send=4e4 * pair[1])
        for pair in picture.links
    }
    return replace(picture, rates=rates)


GONE = history(happened(LOST, AlertSeverity.CRITICAL, "oslo has no contact", cells=(3,)))
WELL = history(
    happened(BACK, AlertSeverity.INFO, "link paris – oslo is up", links=("1-3",)),
    happened(BACK + 1, AlertSeverity.INFO, "oslo is in contact again", cells=(3,)),
    *GONE[:1],
)
MANY = (
    happened(360, AlertSeverity.CRITICAL, "site-124 has no contact", cells=(124,)),
    *(
        happened(3600 + 3 * n, AlertSeverity.INFO, f"site-{n:03} runs generation 1", cells=(n,))
        for n in range(1, 10)
    ),
)

SHOTS = (
    Shot(name="page-overview", picture=cut_off, events=GONE, height=1000),
    Shot(name="page-overview-dark", picture=healthy, events=WELL, height=900, scheme="dark"),
    Shot(name="page-phone", picture=cut_off, events=GONE, width=360, height=740),
    Shot(name="page-link", picture=healthy, events=WELL, view="links/1-2", height=860),
    Shot(name="page-200-cells", picture=lambda: silent(large(), 124), events=MANY, height=1250),
    Shot(name="page-particles", picture=healthy, events=WELL, view="particles", height=464),
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
        bypass_csp=True,
    )
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    page.goto(f"{server.url}#/{shot.view}")
    # As on phones and wherever a scroll bar takes no width: there is none in a picture.
    page.add_style_tag(content="html { scrollbar-gutter: auto }")
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
