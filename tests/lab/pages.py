"""The web pages of cells in a lab: where they are, who reads them, and a browser on a node."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from watching import node_addresses

import trusting_chromium
from trusting_chromium import CHROMIUM, OPTIONS
from uno.lab.agents import Agents
from uno.lab.node import Node

_READER = Path(__file__).with_name("page_reader.py")


def page_addresses(agents: Agents) -> dict[str, list[str]]:
    """The IPv4 addresses of each cell's page: in its LANs, or else its node's."""
    views = {cell.name: cell for cell in agents.registry.view().cells}
    found = {}
    for name, agent in agents.cells.items():
        status = views[name].status
        assert status is not None
        lans = [str(lan.address) for lan in status.lans if lan.network.version == 4]
        found[name] = lans or [str(node_addresses(agent.node)[0])]
    return found


def pages_read(
    node: Node, root: Path, addresses: Iterable[str], *, timeout: float = 30
) -> dict[str, str]:
    """What each page begins with for a node that trusts `root`, or why it is not read."""
    words = (sys.executable, "-I", str(_READER), str(root), str(timeout), *addresses)
    pairs = (line.partition(" ") for line in node.run(words).stdout.splitlines())
    return {address: line for address, _, line in pairs}


@contextmanager
def chromium_on(node: Node, folder: Path, *, root: Path) -> Iterator[Browser]:
    """A Chromium on a node, which trusts `root` besides the authorities of the world."""
    with chromiums(folder, root=root) as started, started(node) as browser:
        yield browser


@contextmanager
def chromiums(
    folder: Path, *, root: Path
) -> Iterator[Callable[[Node], AbstractContextManager[Browser]]]:
    """What starts a Chromium on a node, which trusts `root` besides the authorities of the world.

    For one after the other: that is quicker than `chromium_on` for each.
    """
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (scripts/setup installs it)")
    trusted = [ssl.PEM_cert_to_DER_cert(root.read_text())]
    with sync_playwright() as playwright:

        @contextmanager
        def started(node: Node) -> Iterator[Browser]:
            script = trusting_chromium.script(folder, trusted, into=node.entering())
            browser = playwright.chromium.launch(executable_path=script, args=OPTIONS)
            try:
                yield browser
            finally:
                browser.close()

        yield started


def logged_in(browser: Browser, address: str, *, email: str, password: str) -> Page:
    """Log in at a page; return it once it shows a map."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"https://{address}/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.locator(".map .node").first.wait_for()
    return page


def cells_on_map(page: Page) -> list[str]:
    """The names of the cells on the map of a page."""
    labels = page.locator(".map .node").evaluate_all(
        "nodes => nodes.map(node => node.getAttribute('aria-label'))"
    )
    return sorted(label.partition(":")[0] for label in labels)


def time_of_day(page: Page) -> float:
    """The clock of a page, in seconds."""
    return float(page.evaluate("Date.now()")) / 1000


def shown_at(page: Page, selector: str) -> float:
    """Wait until a page has what matches `selector`; return the time on its clock, in seconds."""
    found = page.wait_for_function(
        "selector => document.querySelector(selector) && Date.now()", arg=selector
    )
    return float(found.json_value()) / 1000


def listened_on(node: Node, port: int = 443, *, version: int = 4) -> set[str]:
    """The addresses of an IP version at which a node's programs accept connections to a port."""
    words = ["ss", f"-{version}", "-H", "-l", "-t", "-n", f"sport = :{port}"]
    lines = node.run(words).stdout.splitlines()
    return {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}
