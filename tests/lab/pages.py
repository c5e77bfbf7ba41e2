"""The web pages of cells in a lab: where they are, who reads them, and a browser on a node."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from watching import node_addresses

from uno.lab.agents import Agents
from uno.lab.node import Node

CHROMIUM = Path("/usr/bin/chromium")
_READER = Path(__file__).with_name("page_reader.py")
# A policy is a file of the whole host: this Chromium alone has it.
_SCRIPT = """#!/bin/sh
exec {into} unshare --mount sh -ec '
    mount -t tmpfs tmpfs /etc/chromium
    mkdir -p /etc/chromium/policies/managed
    cp {policy} /etc/chromium/policies/managed/
    exec {chromium} "$@"
' sh "$@"
"""


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
def chromium_on(node: Node, folder: Path, *, root: Path | None = None) -> Iterator[Browser]:
    """A Chromium on a node, which trusts `root` besides the authorities of the world."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (scripts/setup installs it)")
    trusted = [_base64_of(root)] if root else []
    policy = folder / "policy.json"
    policy.write_text(json.dumps({"CACertificates": trusted}))
    script = folder / "chromium"
    script.write_text(
        _SCRIPT.format(into=shlex.join(node.entering()), policy=policy, chromium=CHROMIUM)
    )
    script.chmod(0o755)
    # Root has no sandbox of Chromium's; it opens pages of the lab alone.
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=script, args=options)
        try:
            yield browser
        finally:
            browser.close()


def _base64_of(root: Path) -> str:
    return "".join(root.read_text().strip().splitlines()[1:-1])
