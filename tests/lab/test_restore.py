"""The registry is lost, and restored from an older backup, while the agents of all cells run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import causes
import pytest
from watching import UNO, await_true, note, unreached

from uno.host.command import Completed
from uno.lab.agents import Agent, Agents
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.node import as_on_a_stock_host
from uno.lab.world import World, temporary_world
from uno.model.uvn import Uvn

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CELLS = "abcdefg"
PASSPHRASE = {"UNO_PASSPHRASE": "a passphrase of this test"}


@pytest.fixture(scope="module")
def four_sites_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven cells in a ring; three have a LAN."""
    cells = "".join(
        f"  - {{name: {name}, address: {name}.example.net"
        + (f", allowed_lans: [192.168.{number}.0/24]" if name in "ace" else "")
        + "}\n"
        for number, name in enumerate(CELLS, start=1)
    )
    path = tmp_path_factory.mktemp("seven") / "uvn.yml"
    path.write_text(
        "name: corp\naddress: registry.example.net\nowner: john@example.org\n"
        "settings: {deployment: {strategy: circular}, timing_profile: fast}\n"
        f"cells:\n{cells}"
    )
    return path


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    with temporary_world(arrange(four_sites, hosts_per_lan=1, direct=frozenset(CELLS))) as built:
        yield built


@pytest.fixture(scope="module")
def installed(world: World, four_sites: Uvn, four_sites_spec: Path) -> Deployment:
    """Cells that have other keys than the backup, everywhere."""
    deployment = Deployment(world=world, uvn=four_sites.name)
    deployment.define(four_sites_spec)
    at_registry(deployment, "backup", str(backup_of(deployment)))
    for keys in ("-R", "-B"):
        deployment.registry("rekey", "uvn", keys, "-y")
    deployment.install()
    return deployment


@pytest.mark.feature("F075")
@pytest.mark.feature("G27")
def test_packages_of_an_older_backup_are_installed_one_by_one(living: Agents) -> None:
    """Minutes may be between two, in which the network comes to rest as it is.

    Shortened here: each waits only until its links to those without their packages are down, and
    those to the others up.
    """
    deployment, registry = living.deployment, living.registry
    newest = living.registry.view().generation
    registry.stop()
    shutil.rmtree(deployment.registry_root)

    at_registry(deployment, "restore", str(backup_of(deployment)), "--generation", str(newest + 1))
    deployment.registry("redeploy", "-y")
    living.start([registry])
    began = time.monotonic()
    for number, agent in enumerate(living.cells.values(), start=1):
        done = install(living, agent, "--keep")
        assert done.status == 0, done
        assert f"Generation {newest + 1} is confirmed." in done.stdout
        without = set(CELLS[number:])
        await_true(
            lambda agent=agent, without=without: lost(living, agent) == without & near(agent),
            f"{agent.name} is connected to those with their packages, and to no other",
            within=120,
        )
    note(f"{len(CELLS)} packages installed in {time.monotonic() - began:.1f} s")

    assert living.sync("-t", "120", timeout=180).status == 0
    living.await_settled(within=120)
    assert unreached(deployment) == []
    causes.await_nothing_wrong(living.all)
    assert [runs(agent) for agent in living.cells.values()] == [newest + 1] * len(CELLS)
    # The restored registry manages them all.
    deployment.registry("config", "uvn", "-U", "--timing-profile", "default", "-y")
    assert living.sync("-t", "120", timeout=180).status == 0


def at_registry(deployment: Deployment, *words: str) -> None:
    """Run a command of the registry that needs the passphrase of backups."""
    command = as_on_a_stock_host([*UNO, *words, "-r", str(deployment.registry_root)])
    deployment.world.registry.run(command, env=PASSPHRASE, timeout=60)


def backup_of(deployment: Deployment) -> Path:
    return deployment.world.registry.directory / "registry.age"


def install(agents: Agents, agent: Agent, *options: str) -> Completed:
    """Copy a cell's package to it, and install it there."""
    package = agents.deployment.package(agent.node)
    copied = Path(shutil.copy(package, agent.node.directory))
    command = [*UNO, "install", str(copied), "-r", str(agent.root), *options]
    return agent.node.run(as_on_a_stock_host(command), check=False, timeout=120)


def near(agent: Agent) -> set[str]:
    """The neighbours of a cell in the ring."""
    at = CELLS.index(agent.name)
    return {CELLS[at - 1], CELLS[(at + 1) % len(CELLS)]}


def lost(agents: Agents, agent: Agent) -> set[str]:
    """The neighbours to which a cell has no link that works."""
    names = {each.cell: each.name for each in agents.cells.values()}
    found = next(each for each in agent.view().cells if each.id == agent.cell)
    assert found.status is not None
    return {names[link.cell] for link in found.status.links if not link.works}


def runs(agent: Agent) -> int:
    """The generation that a cell runs, as it shows itself."""
    found = next(each for each in agent.view().cells if each.id == agent.cell)
    assert found.status is not None
    return found.status.generation
