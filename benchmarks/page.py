"""What the process of a web page costs in a UVN of 200 cells.

    python benchmarks/page.py [--pages NUMBER] [--seconds SECONDS] [--json FILE]

The real process serves a view in which each cell advertises new measurements every 30 s, as cells
do while somebody reads a page. Chromium has pages of it open. Memory and processor of the process;
how long Chromium takes for the first page. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import sys
import tempfile
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import Browser, Page, async_playwright
from reporting import below, finish, machine, say
from sites import exit_with

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import web_pages
from packages import HUB, package_of
from pictures import as_advertised, picture_of
from uno.cli.web_page import make_page
from uno.model import web_access
from uno.model.key_ids import WEB
from uno.model.package import Package
from uno.model.status import CellView, UvnView
from uno.model.uvn import Cell, Uvn
from uno.web.page_process import PageProcess
from uno.web.picture import Picture

CELLS = 200
CHROMIUM = "/usr/bin/chromium"
# Seconds in which each cell advertises its measurements once, while somebody watches.
ROUND = 30.0
DAY = {"width": 1280, "height": 900}


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before = machine()
    found = asyncio.run(measured(options.pages, options.seconds))
    for name, value in found.items():
        say(f"{name}: {value:.3g}")
    goals = (
        below("percent of a core", found["percent of a core"], 1),
        below("ms to the first paint", found["ms to the first paint"], 1000),
    )
    return finish(before=before, found=found, goals=goals, file=options.json, say=say)


async def measured(pages: int, seconds: float) -> dict[str, float]:
    """Serve the page, and return the figures by name."""
    picture, port = picture_of(uvn(), viewer=HUB), web_pages.free_port()
    picture = as_advertised(picture, watched=True)
    package = page_package(picture, port)
    cells = dict(picture.cells)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = make_page(folder, environ={})
        process.configure(package, [IPv4Address(web_pages.ADDRESS)])
        running = asyncio.ensure_future(
            process.run(lambda: shown(picture.view, cells), lambda: picture.directory, lambda: None)
        )
        changing = asyncio.ensure_future(keep_changing(process, cells))
        try:
            return await with_readers(process, port, pages, seconds)
        finally:
            changing.cancel()
            running.cancel()
            await asyncio.wait([running, changing])


async def with_readers(
    process: PageProcess, port: int, pages: int, seconds: float
) -> dict[str, float]:
    """Open pages, and return the figures by name."""
    url = f"https://{web_pages.ADDRESS}:{port}/"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        paints = [await painted(await opened(browser, url)) for _ in range(pages)]
        pid = process.pid
        assert pid is not None
        open_share = await share(pid, seconds)
        open_memory = proportional(pid)
        await browser.close()
        return {
            "percent of a core": open_share,
            "PSS in MB": open_memory,
            "ms to the first paint, with the start of the process": paints[0],
            "ms to the first paint": paints[-1],
        }


async def opened(browser: Browser, url: str) -> Page:
    """Log in on a page of its own, and wait until it shows the map."""
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    page.set_default_timeout(120_000)
    for _ in range(200):
        try:
            await page.goto(url)
            break
        except Exception as error:
            if "ERR_CONNECTION" not in str(error):
                raise
            await asyncio.sleep(0.1)
    await page.get_by_label("E-mail").fill(web_pages.OWNER)
    await page.get_by_label("Password").fill(web_pages.PASSWORDS[web_pages.OWNER])
    await page.keyboard.press("Enter")
    await page.locator(".map .node").nth(CELLS - 1).wait_for()
    return page


async def painted(page: Page) -> float:
    """Return the ms until a page showed something (Paint Timing, first-contentful-paint)."""
    found = await page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    return float(found)


async def keep_changing(process: PageProcess, cells: dict[int, CellView]) -> None:
    """Have one cell after the other advertise new measurements."""
    for number, cell in zip(itertools.count(1), itertools.cycle(sorted(cells)), strict=False):
        await asyncio.sleep(ROUND / len(cells))
        status = cells[cell].status
        assert status is not None
        links = tuple(
            replace(link, received=link.received + 1000 * number, rtt=10 + number % 50 / 10)
            for link in status.links
        )
        cells[cell] = replace(cells[cell], status=replace(status, links=links), status_age=0.0)
        process.changed()


def shown(view: UvnView, cells: dict[int, CellView]) -> UvnView:
    """Return the view with the cells as they are now."""
    return replace(view, cells=tuple(cells.values()))


def uvn(cells: int = CELLS) -> Uvn:
    """Return a UVN of so many sites, every other one public, whose cell 1 is `web_pages`' hub."""
    small = web_pages.uvn()
    others = tuple[Cell, ...](
        Cell(
            id=n,
            name=f"site-{n:03}",
            owner=web_pages.OWNER,
            address=f"site-{n}.example.org" if n % 2 else None,
            allowed_lans=(IPv4Network(f"10.1.{n}.0/24"),),
        )
        for n in range(2, cells + 1)
    )
    return replace(small, cells=(small.cells[0], *others), next_cell=cells + 1)


def page_package(picture: Picture, port: int) -> Package:
    """Return the package of cell 1, whose page is at TCP `port`."""
    made = picture.package or package_of(HUB)
    made = replace(made, plan=replace(made.plan, httpd_port=port))
    made = replace(made, manifest=replace(made.manifest, content="1"))
    access = web_pages.access(made, (web_pages.OWNER,))
    return replace(made, secrets={**made.secrets, WEB: web_access.to_secret(access)})


async def share(pid: int, seconds: float) -> float:
    """Return the percent of a core that a process takes during so many seconds."""
    before = ticks(pid)
    await asyncio.sleep(seconds)
    return 100 * (ticks(pid) - before) / seconds


def ticks(pid: int) -> float:
    """Return the seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def proportional(pid: int) -> float:
    """Return the memory of a process in MB, shared pages by their share."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    exit_with(main)
