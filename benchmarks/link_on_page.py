"""How long an open page takes to show that a link is cut, and that it works again.

    python benchmarks/link_on_page.py [--runs N] [--json FILE]

Ten cells with agents, in a lab. Chromium, on a LAN host of one cell, has that cell's page open. By
turns, a link of the cell is cut until the map has it in red, and restored until it has not. What is
measured is the time between two moments of the browser's clock. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from living import living
from playwright.sync_api import Page
from reporting import Summary, below, finish, machine, say
from sites import exit_with

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

from pages import chromium_on, logged_in, page_addresses, shown_at, time_of_day

from uno.lab.agents import Agents
from uno.lab.world import World
from uno.lab.world_layout import Role

CELL = "site-1"
OWNER = {"email": "john@example.org", "password": "a-password"}
GOAL = 1.5


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    before = machine()
    with living(say) as agents:
        red, mended = measured(agents, options.runs)
    found = {"red after": red, "no longer after": mended}
    for what, taken in found.items():
        say(f"{what} {taken} s")
    goals = [
        below(f"{kind} seconds until a page shows it: {what}", value, GOAL)
        for what, taken in found.items()
        for kind, value in (("median of the", taken.median), ("worst of the", max(taken.values)))
    ]
    return finish(before=before, found=found, goals=goals, file=options.json, say=say)


def measured(agents: Agents, runs: int) -> tuple[Summary, Summary]:
    """Return the seconds until a page showed so many cuts, and repairs."""
    world = agents.deployment.world
    host = next(it for it in world.having(Role.HOST) if it.station.cell == CELL)
    red, mended = [], []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "root.pem")
        root.write_text(agents.deployment.registry("show", "ca").stdout)
        with chromium_on(host, Path(name), root=root) as browser:
            address = page_addresses(agents)[CELL][0]
            page = logged_in(browser, address, **OWNER)
            page.locator(".map .node.t-ok").nth(len(agents.cells) - 1).wait_for()
            peers = neighbours(page)
            for run in range(runs):
                peer = peers[run % len(peers)]
                cut, restored = once(world, page, peer)
                say(f"{CELL} - {peer}: red after {cut:.2f} s, no longer after {restored:.2f} s")
                red.append(cut)
                mended.append(restored)
                agents.await_settled(within=60)
    return Summary(values=tuple(red)), Summary(values=tuple(mended))


def neighbours(page: Page) -> list[str]:
    """Return the cells that `CELL` has links to, by the labels of a page's map."""
    labels = page.locator(f".map .edge[aria-label^='Link {CELL} – ']").evaluate_all(
        "edges => edges.map(edge => edge.getAttribute('aria-label'))"
    )
    return sorted(label.partition(" – ")[2].partition(":")[0] for label in labels)


def once(world: World, page: Page, peer: str) -> tuple[float, float]:
    """Cut the link to a peer, and restore it; return the seconds until the page showed each."""
    link = f".map .edge[aria-label^='Link {CELL} – {peer}: ']"
    began = time_of_day(page)
    world.cut(CELL, peer)
    red = shown_at(page, f"{link}.t-bad") - began
    began = time_of_day(page)
    world.restore(CELL, peer)
    return red, shown_at(page, f"{link}:not(.t-bad)") - began


if __name__ == "__main__":
    exit_with(main)
