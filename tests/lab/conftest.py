"""Worlds for tests. Without root or a program, lab tests are skipped with the reason.

Also lets the tests here import `watching`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uno.lab import deploy, rehearsal, requirements
from uno.lab.agents import Agents
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.evidence import lan_pairs
from uno.lab.world import World, temporary_world
from uno.model.uvn import Uvn

if TYPE_CHECKING:
    from prefork import Prefork

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# The files that take longest come first: one that starts last keeps the other processes waiting.
LONGEST_FIRST = (
    *("test_demo", "test_agents", "test_hostile", "test_notifications", "test_settings"),
    *("test_sessions", "test_diagnosis", "test_pages", "test_status", "test_undo"),
    *("test_service", "test_faults", "test_hostile_bus", "test_restore", "test_verify"),
    *("test_middleware", "test_sync", "test_trust", "test_root_vpn"),
    *("test_chaos", "test_hostile_bgp", "test_shared_host", "test_rehearsal", "test_acceptance"),
)

# As it is before a fixture replaces it.
START_UNO = deploy.start_uno

EXAMPLE = HERE.parents[1] / "examples" / "four-sites" / "uvn.yml"
# Its passwords, as the registry hashes them (argon2id, RFC 9106). That takes most of the time of a
# definition, and every module defines it.
HASHES = {
    "change-me-john": "$argon2id$v=19$m=65536,t=3,p=4$+n5ZiVw9NQh7Sxxxk"
    "eJ8Uw$M5eQxgYXD+Hm4g+U/TWSMbOj45+UFEUcSaLx0PxNZoE",
    "change-me-jane": "$argon2id$v=19$m=65536,t=3,p=4$Sm16ch6r9ioVmIC3R"
    "HdPug$LlQyfzDZpD32iAbyKKSFj488RtP8svnmtlo7Q0dK2o4",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files of labs by how long they take, and keep the order of the tests in each."""

    def rank(item: pytest.Item) -> int:
        is_ranked = item.path.parent == HERE and item.path.stem in LONGEST_FIRST
        return LONGEST_FIRST.index(item.path.stem) if is_ranked else len(LONGEST_FIRST)

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def _what_a_lab_needs() -> None:
    programs = requirements.for_a_deployment() | requirements.FOR_A_CAPTURE
    if lacking := requirements.missing(programs):
        pytest.skip(f"the lab cannot be built here: {', '.join(lacking)}")


@pytest.fixture(scope="session", autouse=True)
def commands_start_at_once(_what_a_lab_needs: None) -> Iterator[Prefork]:
    """Have commands and agents of uno started without the time that Python takes."""
    from prefork import serving  # noqa: PLC0415 - found since this file has run

    with pytest.MonkeyPatch.context() as patched:
        # With more threads wireguard-go wakes another for each step of a packet: half as much again
        # of processor time, where ten tunnels share two processors.
        patched.setenv("GOMAXPROCS", "1")
        with serving() as server:
            yield server


@pytest.fixture(scope="module")
def agents_start_from_scratch(commands_start_at_once: Prefork) -> Iterator[None]:
    """Have agents started as on a host, in a module that measures what they take."""
    del commands_start_at_once
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deploy, "start_uno", START_UNO)
        yield


@pytest.fixture(scope="session")
def four_sites_spec(example: Path) -> Path:
    """The specification that the demo shows: four LANs, one behind NAT, a relay, two particles."""
    return example


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The specification that the demo shows, with hashes of its passwords, for all but the demo."""
    text = EXAMPLE.read_text()
    for password, hashed in HASHES.items():
        assert f"password: {password}" in text
        text = text.replace(f"password: {password}", f"password: {hashed}")
    path = tmp_path_factory.mktemp("four-sites") / "uvn.yml"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def ring_spec(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same four sites in a ring, so that there are equal paths; three LANs have IPv6, too.

    The ring is lan-a, lan-b, lan-c, relay; lan-d hangs on lan-a. lan-a's IPv6 LAN is a unique
    local one, the others are global.
    """
    text = example.read_text()
    for lan, added in (
        ("192.168.1.0/24", "fd12:3456:1::/64"),
        ("192.168.4.0/24", "2001:db8:4::/64"),
    ):
        assert f"[{lan}]" in text
        text = text.replace(f"[{lan}]", f'[{lan}, "{added}"]')
    path = tmp_path_factory.mktemp("ring") / "uvn.yml"
    path.write_text(f"{text}settings:\n  deployment:\n    strategy: circular\n")
    return path


@pytest.fixture(scope="module")
def four_sites(four_sites_spec: Path) -> Uvn:
    """Return the definition in `four_sites_spec`, which modules override."""
    return rehearsal.definition(four_sites_spec)


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    """The world of `four_sites`, with nothing of uno running in it."""
    with temporary_world(arrange(four_sites)) as built:
        yield built


@pytest.fixture(scope="module")
def installed(world: World, four_sites: Uvn, four_sites_spec: Path) -> Deployment:
    """Four sites defined at the registry, and installed on every cell; nothing is started."""
    return rehearsal.deploy(world, four_sites, four_sites_spec, report=print)


@pytest.fixture(scope="module")
def running(installed: Deployment) -> Deployment:
    """Four sites up: every LAN host reaches every other."""
    raised = rehearsal.start_network(installed, lan_pairs(installed.world), report=print)
    assert raised.reached.missing == ()
    return installed


@pytest.fixture(scope="module")
def living(installed: Deployment) -> Iterator[Agents]:
    """Four sites with an agent on each cell and one at the registry, all well."""
    agents = rehearsal.start_agents(installed, report=print)
    yield agents
    agents.stop()


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents of the example, with all LANs in place; and again after the test."""
    from lan_of_cell import regain_lan  # noqa: PLC0415 - this file puts its directory on the path

    living.await_settled(within=120)
    yield living
    regain_lan(living.cells["lan-c"])
    living.await_settled(within=120)
