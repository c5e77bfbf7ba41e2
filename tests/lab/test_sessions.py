"""The first hour of a user, and the work of an operator, at terminals of a lab with agents.

`UPDATE_GOLDEN=1` writes what the commands print now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefork import Prefork
from terminal import Terminals

from uno.lab import rehearsal
from uno.lab.arrange import arrange
from uno.lab.world import temporary_world

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SESSIONS = Path(__file__).parents[1] / "golden" / "terminal"

# Where the commands of the sessions find a place: the last cell is a machine for the registry.
PLACES = """
name: corp
address: registry.example.net
owner: jane@example.org
cells:
  - {name: hq, address: hq.example.net, allowed_lans: [192.168.1.0/24]}
  - {name: shop, address: shop.example.net, allowed_lans: [192.168.2.0/24]}
  - {name: farm, allowed_lans: [192.168.3.0/24, 192.168.30.0/24]}
  - {name: depot, address: depot.example.net, allowed_lans: [192.168.4.0/24]}
  - {name: attic, address: attic.example.net}
"""


@pytest.fixture(scope="module")
def terminals(
    tmp_path_factory: pytest.TempPathFactory, commands_start_at_once: Prefork
) -> Iterator[Terminals]:
    places = tmp_path_factory.mktemp("places") / "uvn.yml"
    places.write_text(PLACES)
    layout = arrange(rehearsal.definition(places), hosts_per_lan=1)
    with temporary_world(layout) as world:
        terminals = Terminals(world=world, prefork=commands_start_at_once)
        yield terminals
        terminals.stop()


@pytest.fixture(scope="module")
def first_hour(terminals: Terminals) -> tuple[str, str]:
    """What the commands of the first hour print now, and what they are to print."""
    return played(terminals, SESSIONS / "first-hour.txt")


@pytest.mark.feature("F075")
def test_the_first_hour_prints_what_it_printed(first_hour: tuple[str, str]) -> None:
    now, golden = first_hour

    assert now == golden


@pytest.mark.feature("F034")
@pytest.mark.feature("F046")
@pytest.mark.feature("G06")
@pytest.mark.feature("G27")
@pytest.mark.usefixtures("first_hour")
def test_the_work_of_an_operator_prints_what_it_printed(terminals: Terminals) -> None:
    now, golden = played(terminals, SESSIONS / "operator.txt")

    assert now == golden


def played(terminals: Terminals, session: Path) -> tuple[str, str]:
    """Return what a session prints now, and what it is to print."""
    now = "".join(terminals.play(session.read_text())).rstrip("\n") + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        session.write_text(now)
    return now, session.read_text()
