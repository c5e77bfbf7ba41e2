"""The UVN that the benchmarks of agents measure: ten cells, in a lab of this machine.

Six public cells with a LAN each, three private ones, a relay. The lab also has what is only defined
later: another LAN at `site-3`, and an eleventh cell with a LAN.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uno.lab import rehearsal, requirements
from uno.lab.agents import Agents
from uno.lab.arrange import arrange
from uno.lab.cleanup import ended_by_signals
from uno.lab.deploy import Deployment
from uno.lab.world import temporary_world
from uno.model.uvn import Middleware, Settings

DEFAULT = Settings().middleware
GROWING, LATER_LAN = "site-3", "192.168.103.0/24"
LATER_CELL, LATER_CELL_LAN = "site-11", "192.168.11.0/24"

_PUBLIC, _PRIVATE = (1, 2, 3, 4, 5, 6), (7, 8, 9)


@contextmanager
def installed(
    say: Callable[[str], None], *, middleware: Middleware = DEFAULT
) -> Iterator[Deployment]:
    """Ten cells installed, nothing started; gone after the block, however it ends."""
    requirements.require(requirements.for_a_deployment())
    with tempfile.TemporaryDirectory() as folder:
        now, later = Path(folder, "now.yml"), Path(folder, "later.yml")
        now.write_text(spec(grown=False, middleware=middleware))
        later.write_text(spec(grown=True, middleware=middleware))
        uvn, grown = rehearsal.definition(now), rehearsal.definition(later)
        with ended_by_signals(), temporary_world(arrange(grown, hosts_per_lan=1)) as world:
            deployment = Deployment(world=world, uvn=uvn.name)
            deployment.define(now)
            deployment.install(cell for cell in deployment.cells if cell.name != LATER_CELL)
            say(f"lab {world.id}: {len(uvn.cells)} cells installed")
            yield deployment


@contextmanager
def living(say: Callable[[str], None], *, middleware: Middleware = DEFAULT) -> Iterator[Agents]:
    """The same with agents on all ten cells and at the registry, all well."""
    with installed(say, middleware=middleware) as deployment:
        agents = rehearsal.start_agents(deployment, report=say)
        try:
            yield agents
        finally:
            agents.stop()


def spec(*, grown: bool, middleware: Middleware = DEFAULT) -> str:
    """The specification, with or without what is defined later."""
    cells = [_cell(f"site-{n}", f"192.168.{n}.0/24", public=True) for n in _PUBLIC]
    cells += [_cell(f"site-{n}", f"192.168.{n}.0/24", public=False) for n in _PRIVATE]
    cells.append("  - {name: relay, address: relay.example.net}")
    if grown:
        cells[2] = _cell(GROWING, f"192.168.3.0/24, {LATER_LAN}", public=True)
        cells.append(_cell(LATER_CELL, LATER_CELL_LAN, public=True))
    return "\n".join(
        [
            "name: ten",
            "address: registry.example.net",
            "owner: john@example.org",
            "users: [{email: john@example.org, name: John, password: a-password}]",
            "cells:",
            *cells,
            f"settings: {{middleware: {middleware}}}",
            "",
        ]
    )


def _cell(name: str, lans: str, *, public: bool) -> str:
    address = f"address: {name}.example.net, " if public else ""
    return f"  - {{name: {name}, {address}allowed_lans: [{lans}]}}"
