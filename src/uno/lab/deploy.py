"""Deploy uno in a world as a person does: with its commands, and by copying files.

Nothing here uses internals of the product. Steps on several hosts run in parallel.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from uno import program
from uno.diagnostics import ActionNeeded, UnoError
from uno.host.command import Completed
from uno.lab.node import Node, Program, as_on_a_stock_host
from uno.lab.pace import Pace, pace
from uno.lab.world import World
from uno.lab.world_layout import Role

T = TypeVar("T")

# Seconds for one command in a world of some cells.
_COMMAND = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A UVN in a world. `uvn` is its name; its directories are those of the nodes it is on."""

    world: World
    uvn: str

    @property
    def registry_root(self) -> Path:
        """The registry's directory."""
        return self.world.registry.directory / "registry"

    @property
    def cells(self) -> tuple[Node, ...]:
        """The nodes of all cells."""
        return self.world.having(Role.CELL)

    @property
    def pace(self) -> Pace:
        """How many commands run at once in this world, and what they may take."""
        return pace(len(self.cells), os.cpu_count() or 1)

    @staticmethod
    def cell_root(cell: Node) -> Path:
        """A cell's directory on its node."""
        return cell.directory / "uvn"

    def define(self, spec: Path) -> None:
        """Make the registry from a specification."""
        root, copy = self.registry_root, self.world.registry.directory / "uvn.yml"
        shutil.copyfile(spec, copy)
        self.registry("define", "uvn", self.uvn, "-s", str(copy), "-y", root=root)

    def registry(self, *arguments: str, root: Path | None = None) -> Completed:
        """Run a command of uno on the registry's node, with its directory."""
        words = (*arguments, "-r", str(root or self.registry_root))
        return uno(self.world.registry, *words, timeout=self.pace.command)

    def package(self, cell: Node) -> Path:
        """A cell's package, as the registry made it."""
        return self.registry_root / "cells" / f"{self.uvn}__{cell.name}.uvn-agent"

    def particle_package(self, particle: Node) -> Path:
        """A particle's package, as the registry made it."""
        return self.registry_root / "particles" / f"{self.uvn}__{particle.name}.zip"

    def install(self, cells: Iterable[Node] | None = None) -> None:
        """Copy each cell's package to its node, and install it there; on all nodes at once."""
        in_parallel(self._install, self.cells if cells is None else cells)

    def start_up(self, cells: Iterable[Node] | None = None) -> ServiceStart:
        """Begin `uno service up` on all cells, as many at once as the pace allows."""
        chosen = self.cells if cells is None else tuple(cells)
        return ServiceStart(self.service, chosen, at_once=self.pace.at_once)

    def up(self, cells: Iterable[Node] | None = None) -> None:
        """Run `uno service up` on all cells at once, and wait until each is done."""
        in_parallel(lambda cell: self.service(cell, "up"), self.cells if cells is None else cells)

    def down(self, cells: Iterable[Node] | None = None, *, forget: bool = False) -> None:
        """Run `uno service down` on all cells at once; with `forget`, hosts are as before uno."""
        options = ("--forget",) if forget else ()
        in_parallel(
            lambda cell: self.service(cell, "down", *options),
            self.cells if cells is None else cells,
        )

    def service(self, cell: Node, verb: str, *options: str) -> Completed:
        """Run `uno service VERB OPTIONS` on a cell."""
        root = str(self.cell_root(cell))
        return uno(cell, "service", verb, *options, "-r", root, timeout=self.pace.command)

    def _install(self, cell: Node) -> None:
        copied = cell.directory / self.package(cell).name
        shutil.copy(self.package(cell), copied)
        root = str(self.cell_root(cell))
        uno(cell, "install", str(copied), "-r", root, timeout=self.pace.command)


class ServiceStart:
    """`uno service up`, under way on several cells. Use it in a `with`.

    `ended` has the times (`time.monotonic`) at which the commands ended, so far; `failed` is set
    once one of them has failed.
    """

    def __init__(
        self,
        service: Callable[[Node, str], Completed],
        cells: tuple[Node, ...],
        *,
        at_once: int,
    ) -> None:
        """Begin, on so many cells at once; the next begins when one has ended."""
        self.ended: list[float] = []
        self.failed = False
        self._pool = ThreadPoolExecutor(at_once)
        self._futures = {cell.name: self._pool.submit(service, cell, "up") for cell in cells}
        for future in self._futures.values():
            future.add_done_callback(self._note_end)

    def __enter__(self) -> ServiceStart:
        return self

    def __exit__(self, *_: object) -> None:
        # A caller that leaves early removes the world, which ends the commands.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """Wait for all of them. Raises `UnoError` with the output of each cell that failed."""
        _results(self._futures)

    def _note_end(self, future: Future[Completed]) -> None:
        # Futures are not polled: each poll takes a lock, and a signal
        # whose exception comes between that and its `with` leaves the command's thread waiting.
        self.ended.append(time.monotonic())
        self.failed |= not future.cancelled() and future.exception() is not None


def uno(
    node: Node,
    *arguments: str,
    timeout: float = _COMMAND,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a command of uno in a node, as `Node.run` does: this very uno. Raises `CommandFailed`."""
    command = as_on_a_stock_host(program.argv(*arguments))
    return node.run(command, timeout=timeout, env=env, check=check)


def start_uno(
    node: Node, *arguments: str, log: Path | None = None, env: Mapping[str, str] | None = None
) -> Program:
    """Start a command of uno in a node in the background, as `Node.start` does: this very uno."""
    return node.start(as_on_a_stock_host(program.argv(*arguments)), log=log, env=env)


def in_parallel(function: Callable[[Node], T], nodes: Iterable[Node]) -> Mapping[str, T]:
    """Do something in several nodes at once; return the results by the nodes' names.

    In as many as the pace of so many cells allows. Raises `UnoError` with what went wrong in each
    node where something did.
    """
    chosen = tuple(nodes)
    pool = ThreadPoolExecutor(pace(len(chosen), os.cpu_count() or 1).at_once)
    try:
        return _results({node.name: pool.submit(function, node) for node in chosen})
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _results(futures: Mapping[str, Future[T]]) -> Mapping[str, T]:
    results: dict[str, T] = {}
    problems: dict[str, UnoError] = {}
    for name, future in futures.items():
        try:
            results[name] = future.result()
        except UnoError as error:
            problems[name] = error
    if problems:
        raise ActionNeeded("\n".join(f"{name}: {error}" for name, error in problems.items()))
    return results
