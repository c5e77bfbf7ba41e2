"""How long the owner's commands take: define a UVN, and add a cell to it, for several sizes.

    python benchmarks/compile.py [--particles NUMBER] [--json FILE] [SIZE ...]

A size of N is N cells, every second one private, and N particles, or as many as are given. Each
size runs in a process of its own, so that the peak memory is its own; `peak` is the largest of all
its processes. In brackets: processor seconds, of all processes together.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from uno.model.uvn import Cell, Particle, User, Uvn
from uno.planning import planner
from uno.registry.changes import edits, operations
from uno.registry.changes.edits import Edited, NewCell
from uno.registry.publish import package_files

T = TypeVar("T")
SIZES = (2, 10, 100, 1000)
OWNER = "owner@example.org"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds, files and bytes for one size."""

    cells: int
    links: int
    plan_seconds: float
    define_seconds: float
    define_cpu_seconds: float
    define_packages: int
    packages_later: int
    add_cell_seconds: float
    add_cell_cpu_seconds: float
    add_cell_packages: int
    one_setting_seconds: float
    one_setting_packages: int
    nothing_seconds: float
    packages_bytes: int
    registry_bytes: int
    peak_bytes: int


def main() -> None:
    """Measure, print a table, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="SIZE")
    parser.add_argument("--particles", type=int, metavar="NUMBER")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    found = []
    print(
        f"{'cells':>6} {'links':>6} {'plan':>8} {'define':>16} {'later':>6} {'add cell':>16}"
        f" {'files':>6} {'setting':>8} {'files':>6} {'nothing':>8} {'packages':>9} {'peak':>7}"
    )
    for size in asked.sizes:
        each = in_a_process(size, size if asked.particles is None else asked.particles)
        found.append(each)
        print(
            f"{each.cells:>6} {each.links:>6} {each.plan_seconds:>6.2f} s"
            f" {each.define_seconds:>6.2f} s ({each.define_cpu_seconds:>4.1f}) "
            f"{each.packages_later:>6}"
            f" {each.add_cell_seconds:>6.2f} s ({each.add_cell_cpu_seconds:>4.1f}) "
            f"{each.add_cell_packages:>6}"
            f" {each.one_setting_seconds:>6.2f} s {each.one_setting_packages:>6}"
            f" {each.nothing_seconds:>6.2f} s {each.packages_bytes / 1e6:>6.1f} MB"
            f" {each.peak_bytes / 1e6:>4.0f} MB",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")


def in_a_process(size: int, particles: int) -> Measured:
    """Measure one size in a new process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, size, particles))
    process.start()
    theirs.close()
    try:
        measured: Measured = ours.recv()
    finally:
        process.join()
    return measured


def measure(size: int, particles: int, root: Path) -> Measured:
    """Define a UVN of `size` in `root`, add a cell to it, and change one cell."""
    by = operations.Author(who="benchmark", time=datetime(2026, 1, 1, tzinfo=UTC))
    uvn = definition(size, particles)
    plan_seconds, plan = timed(lambda: planner.plan(uvn, None))
    used = processor()
    define_seconds, defined = timed(lambda: operations.define_uvn(root, Edited(uvn=uvn), by=by))
    define_cpu = processor() - used
    wanted = NewCell(name="added", address="added.example.org", networks=("10.77.0.0/24",))
    port = edits.Setting(option="", path=("cells", 0, "settings", "httpd_port"), value=8443)
    with operations.opened(root, for_change=True) as registry:
        used = processor()
        add_seconds, added = timed(
            lambda: operations.change(
                registry, lambda it: edits.add_cell(it, wanted), by=by, why="add"
            )
        )
        add_cpu = processor() - used
        set_seconds, changed = timed(
            lambda: operations.change(
                registry, lambda it: edits.apply(it, [port]), by=by, why="set"
            )
        )
    nothing_seconds, _ = timed(lambda: open_and_close(root))
    own, children = (
        resource.getrusage(who).ru_maxrss * 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Measured(
        cells=size,
        links=len(plan.links),
        plan_seconds=plan_seconds,
        define_seconds=define_seconds,
        define_cpu_seconds=define_cpu,
        define_packages=len(defined.published.cell_packages),
        packages_later=defined.published.stale,
        add_cell_seconds=add_seconds,
        add_cell_cpu_seconds=add_cpu,
        add_cell_packages=len(added.published.cell_packages),
        one_setting_seconds=set_seconds,
        one_setting_packages=len(changed.published.cell_packages),
        nothing_seconds=nothing_seconds,
        packages_bytes=sum(path.stat().st_size for path in (root / "cells").iterdir()),
        registry_bytes=(root / "registry.db").stat().st_size,
        peak_bytes=max(own, children),
    )


def definition(size: int, particles: int) -> Uvn:
    """Return a UVN of `size` cells, of which every second one is private."""
    lans = IPv4Network("172.16.0.0/12").subnets(new_prefix=24)
    return Uvn(
        name="bench",
        identity="0123456789abcdef" * 2,
        owner=OWNER,
        address="registry.example.org",
        users=(User(email=OWNER),),
        cells=tuple(
            Cell(
                id=number,
                name=f"cell{number}",
                owner=OWNER,
                address=f"cell{number}.example.org" if number % 2 else None,
                allowed_lans=(lan,),
            )
            for number, lan in zip(range(1, size + 1), lans, strict=False)
        ),
        particles=tuple(
            Particle(id=number, name=f"particle{number}", owner=OWNER)
            for number in range(1, particles + 1)
        ),
        next_cell=size + 1,
        next_particle=particles + 1,
    )


def processor() -> float:
    """Seconds of processor that this process and those that have ended have used."""
    found = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)


def open_and_close(root: Path) -> bool:
    """Do what `uno list` does before it prints."""
    with operations.opened(root) as registry:
        return package_files.is_complete(registry)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return how many seconds `work` took, and its result."""
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def _send(to: Connection, size: int, particles: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        to.send(measure(size, particles, Path(directory) / "registry"))
    to.close()


if __name__ == "__main__":
    main()
