"""What an agent and the process of its page take of memory, with a reader, in UVNs of two sizes.

    python benchmarks/page_memory.py [--cells NUMBER ...] [--json FILE]

The agent (`paged_agent`) has the statuses of all cells and the measurements of a day of every link,
and starts the real process, from which a reader fetches the documents of the page. Proportional
memory (PSS) of both, in MB. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace
from page import page_package, proportional, uvn
from paged_agent import DIRECTORY, PACKAGE, VIEW
from reporting import at_most, finish, machine, say
from sites import exit_with

import web_pages
from packages import HUB
from pictures import as_advertised, picture_of
from uno.host import command
from uno.model import codec, web_access
from uno.model.package import Package
from uno.web import series_file
from uno.web.page_process import SERIES
from uno.web.picture import Picture, link_name
from uno.web.series import SLOTS, LinkSample, SeriesRecorder
from uno.web.series_file import KeptSeries, SeriesMoment

GOALS = {10: 65.0, 200: 80.0}
READ = ("summary", "matrix", "cells/1", "links/1-2", "series/1-2?span=86400", "settings", "events")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=sorted(GOALS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before, found, goals = machine(), {}, []
    for cells in options.cells:
        agent, page = measured(cells)
        named = f"PSS in MB of agent and page, {cells} cells"
        found |= {f"{named}: agent": agent, f"{named}: page": page, named: agent + page}
        if cells in GOALS:
            goals.append(at_most(named, agent + page, GOALS[cells]))
    for what, value in found.items():
        say(f"{what}: {value:.3g}")
    return finish(before=before, found=found, goals=goals, file=options.json, say=say)


def measured(cells: int) -> tuple[float, float]:
    """Return the memory of an agent with so many cells, and that of its page's process."""
    picture = as_advertised(picture_of(uvn(cells), viewer=HUB), watched=True)
    port = web_pages.free_port()
    package = page_package(picture, port)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / VIEW).write_bytes(codec.encode(picture.view))
        (folder / DIRECTORY).write_bytes(codec.encode(picture.directory))
        (folder / PACKAGE).write_bytes(codec.encode(package))
        (folder / SERIES).write_bytes(series_file.encoded(a_day(picture)))
        code = f"import paged_agent; paged_agent.main({name!r}, {web_pages.ADDRESS!r})"
        argv = [sys.executable, "-c", code]
        agent = command.start(argv, env={"PYTHONPATH": str(Path(__file__).parent)})
        try:
            read(package, port)
            (page,) = children(agent.pid)
            return proportional(agent.pid), proportional(page)
        finally:
            agent.kill()


def a_day(picture: Picture) -> KeptSeries:
    """Return what was measured of every link in each minute of a day."""
    now = time.monotonic()
    last = int(now // 60)
    recorder = SeriesRecorder()
    for minute in range(last - SLOTS + 1, last + 1):
        traffic = 10**6 * minute + round(10**5 * math.sin(minute))
        measured = LinkSample(rtt=math.sin(minute) + 2, loss=0.1, received=traffic, sent=traffic)
        recorder.note("1-2", measured, at=60.0 * minute)
    one = recorder.recorded_of("1-2")
    moment = SeriesMoment(
        boot=BOOT_ID.read_text().strip(), monotonic=now, wall=time.time_ns() // 10**9
    )
    links = tuple(replace(one, link=link_name(pair)) for pair in picture.links)
    return KeptSeries(moment=moment, links=links)


def read(package: Package, port: int) -> None:
    """Read the page as its owner, once it is there."""
    access = web_access.of_package(package)
    assert access is not None
    browser, until = web_pages.Browser(port, access.root), time.monotonic() + 60
    while True:
        try:
            assert browser.log_in().status < 300
            break
        except ConnectionError:
            assert time.monotonic() < until
            time.sleep(0.1)  # noqa: TID251 - a script
    for path in READ:
        reply = browser.ask("GET", f"/api/v1/{path}")
        assert reply.status == 200, path


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


if __name__ == "__main__":
    exit_with(main)
