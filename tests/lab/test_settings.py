"""A walk through every setting: good and bad values, and every cell stays manageable.

Values that do not exclude each other are released together; with `--settings-alone`, which `just
settings` gives, each is released alone.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import causes
import pytest
from pages import page_addresses, pages_read
from watching import await_true, note

import own_certificates
from commands import Outcome, run
from settings_walk import SPEC, WALK, Bad, Place, Refuser, together
from uno.lab.agents import Agents, is_settled
from uno.lab.arrange import arrange
from uno.lab.node import Node
from uno.lab.world import World, temporary_world
from uno.model.status import UvnView
from uno.model.uvn import Uvn
from uno.registry.changes import operations

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

T = TypeVar("T")

# Names of settings, for the ids of tests.
_NAMES = {path: path.removeprefix("settings.") for path in WALK}
_GOOD = {
    place: {_NAMES[path]: row.good for path, row in WALK.items() if row.place is place}
    for place in Place
}
_BAD = {
    refuser: {
        f"{_NAMES[path]}-{number}": bad
        for path, row in WALK.items()
        for number, bad in enumerate(row.bad)
        if bad.by is refuser
    }
    for refuser in Refuser
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put the rows of the walk into tests: together as far as that proves as much, or alone."""
    is_alone = bool(metafunc.config.getoption("--settings-alone"))
    for name, groups in {
        "plain": _good(Place.PLAIN, is_alone=is_alone),
        "carrier": _good(Place.CARRIER, is_alone=is_alone),
        "unoffered": _alone(_BAD[Refuser.REGISTRY]),
        "refused": _alone(_BAD[Refuser.CELL]) if is_alone else _by_host(_BAD[Refuser.CELL]),
        "following": _good(Place.NEXT, is_alone=is_alone),
        "tried": _alone(_BAD[Refuser.TRIAL]) if is_alone else _by_cell(_BAD[Refuser.TRIAL]),
    }.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(groups.values()), ids=list(groups))


def _good(place: Place, *, is_alone: bool) -> Mapping[str, Sequence[str]]:
    found = _GOOD[place]
    return _alone(found) if is_alone else {_count(found): together(found.values())}


def _count(rows: Mapping[str, object]) -> str:
    return f"{len(rows)} at once"


def _alone(rows: Mapping[str, T]) -> Mapping[str, tuple[T]]:
    return {name: (row,) for name, row in rows.items()}


def _by_host(rows: Mapping[str, Bad]) -> Mapping[str, tuple[Bad, ...]]:
    """Return the rows with those together which a host refuses at once: ports of its tunnels."""
    found: dict[str, tuple[Bad, ...]] = {}
    for name, bad in rows.items():
        group = f"ports of {bad.at}" if "-port" in bad.words else name
        found[group] = (*found.get(group, ()), bad)
    return found


def _by_cell(rows: Mapping[str, Bad]) -> Mapping[str, tuple[Bad, ...]]:
    """Return the rows with those together that cut off different cells, each by one value."""
    groups: list[dict[str, Bad]] = []
    for name, bad in rows.items():
        free = (it for it in groups if all(bad.cut_off != each.cut_off for each in it.values()))
        group = next(free, None)
        if group is None:
            groups.append(group := {})
        group[name] = bad
    return {" and ".join(group): tuple(group.values()) for group in groups}


@pytest.fixture(scope="module")
def four_sites_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two public cells and a private one."""
    path = tmp_path_factory.mktemp("walk") / "uvn.yml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    """Public cells are on the Internet themselves: no router has to forward other ports to them."""
    with temporary_world(
        arrange(four_sites, hosts_per_lan=1, direct=frozenset({"a", "b"}))
    ) as built:
        built.nodes["a"].run(["ip", "address", "add", "192.168.101.1/24", "dev", "lan0"])
        yield built


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents at rest, on one generation; and again after the test."""
    living.await_settled()
    yield living
    living.await_settled()


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_where_cells_have_public_addresses(well: Agents) -> None:
    causes.await_nothing_wrong(well.all)


@pytest.mark.feature("F044")
def test_the_page_of_a_cell_is_at_the_port_that_it_was_given(well: Agents, tmp_path: Path) -> None:
    host, authority = well.deployment.world.nodes["a-host1"], tmp_path / "root.pem"
    authority.write_text(well.deployment.registry("show", "ca").stdout)
    (address,) = page_addresses(well)["b"]
    chosen = f"{address}:9443"

    assert pages_read(host, authority, [chosen])[chosen].lower() == "<!doctype html>"
    assert "html" not in pages_read(host, authority, [address], timeout=2)[address].lower()


@pytest.mark.feature("F038")
@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
def test_good_values_of_what_carries_no_messages_are_confirmed(
    well: Agents, plain: Sequence[str]
) -> None:
    confirm(well, plain)

    if {"--backbone-vpn-interface bb{}", "--backbone-vpn-keepalive 9"} <= options(plain):
        shown = well.cells["c"].node.run(["wg", "show", "bb0", "persistent-keepalive"]).stdout
        assert shown.split()[1:] == ["9"]


def options(commands: Iterable[str]) -> set[str]:
    """The options of some commands, each with its value."""
    return {f"--{each}" for words in commands for each in words.split(" --")[1:]}


@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
def test_good_values_of_what_carries_messages_are_confirmed(
    well: Agents, carrier: Sequence[str]
) -> None:
    confirm(well, carrier)


@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
def test_a_value_that_the_registrys_host_cannot_run_is_not_offered(
    well: Agents, unoffered: Sequence[Bad]
) -> None:
    refuse(well, unoffered)


@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
def test_a_value_that_a_cell_cannot_run_is_refused_and_changes_no_cell(
    well: Agents, refused: Sequence[Bad]
) -> None:
    refuse(well, refused)


@pytest.mark.feature("G05")
@pytest.mark.feature("G56")
def test_values_that_lead_nowhere_are_tried_and_rolled_back_and_the_next_change_is_confirmed(
    well: Agents, tried: Sequence[Bad]
) -> None:
    before, was, silent = newest(well), runs(well.registry.view()), lengths_of_logs(well)
    define(well, together(bad.words for bad in tried))
    began = time.monotonic()

    with in_the_way(well, tried):
        done = well.sync("-t", "120", check=False)
        well.await_views(lambda view: bool(is_settled(view)), within=120)

    note(f"{len(tried)} that lead nowhere: all back after {time.monotonic() - began:.1f} s")
    assert done.status == 2, done
    assert all(bad.reason in folded(done.stdout + done.stderr) for bad in tried), done
    assert runs(well.registry.view()) == was
    # Each of these has a value of its own that disconnects it: none of them confirms, and is
    # rolled back for the reason that others have.
    logs = logged_since(well, silent)
    ends = {bad.cut_off: logs[bad.cut_off] for bad in tried}
    assert not any("is confirmed" in lines for lines in ends.values()), ends
    assert all("rolling back from" in lines for lines in ends.values()), ends
    confirm(well, [f"rollback {before} -y", *together(_GOOD[Place.NEXT].values())])


def confirm(agents: Agents, commands: Iterable[str]) -> None:
    """Change something at the registry, and release it: all cells confirm it."""
    define(agents, commands)
    began = time.monotonic()
    done = agents.sync("-t", "90", check=False)
    assert done.status == 0, done
    wanted = newest(agents)
    agents.await_views(lambda view: view.generation == wanted and is_settled(view), within=60)
    note(f"confirmed after {time.monotonic() - began:.1f} s")


def refuse(agents: Agents, values: Sequence[Bad]) -> None:
    """Change something at the registry that some host cannot run: no cell changes."""
    before, was, silent = newest(agents), runs(agents.registry.view()), lengths_of_logs(agents)
    define(agents, together(bad.words for bad in values))
    began = time.monotonic()

    with in_the_way(agents, values):
        done = agents.sync("-t", "90", check=False)

    note(f"{len(values)} refused after {time.monotonic() - began:.1f} s")
    assert done.status == 2, done
    assert all(bad.reason in folded(done.stdout + done.stderr) for bad in values), done
    assert runs(agents.registry.view()) == was
    logs = logged_since(agents, silent)
    assert not any("changing from" in lines for lines in logs.values()), logs
    if any(bad.by is Refuser.REGISTRY for bad in values):
        assert not any(re.search("staged|offered", lines) for lines in logs.values()), logs
    define(agents, [f"rollback {before} -y"])


def define(agents: Agents, commands: Iterable[str]) -> None:
    """Run commands of the registry, each of which changes something or finds it so."""
    for words in commands:
        done = ordered(agents, words)
        assert done.status == 0, (words, done)


def ordered(agents: Agents, words: str) -> Outcome:
    nodes = agents.deployment.world.nodes
    for name in ("a", "registry"):
        words = words.replace(f"{{{name}}}", public(nodes[name]))
    if "{pem}" in words:
        # A node sees no other's files.
        pem = nodes["a"].directory / "page.pem"
        pem.write_text("".join(own_certificates.made("page.example.org")))
        words = words.replace("{pem}", str(pem))
    command, _, rest = words.partition(" ")
    arguments = rest.split(" ")
    if command == "apply":
        file = agents.deployment.world.registry.directory / "walk.yml"
        file.write_text(rest.replace(":", ": "))
        arguments = ["-s", str(file)]
    return run(command, *arguments, "-r", str(agents.deployment.registry_root))


def lengths_of_logs(agents: Agents) -> Mapping[str, int]:
    """How much each cell has logged so far."""
    return {name: len(agent.log_text()) for name, agent in agents.cells.items()}


def logged_since(agents: Agents, before: Mapping[str, int]) -> Mapping[str, str]:
    """What each cell has logged since then."""
    return {name: agent.log_text()[before[name] :] for name, agent in agents.cells.items()}


def folded(text: str) -> str:
    """Text without its line ends."""
    return " ".join(text.split())


def public(node: Node) -> str:
    """Where the Internet finds a node."""
    return str(node.station.public)


def newest(agents: Agents) -> int:
    """The number of the newest generation."""
    with operations.opened(agents.deployment.registry_root) as registry:
        return int(registry.store.head().number)


def runs(view: UvnView) -> Mapping[str, int]:
    """The generation that each cell runs."""
    return {cell.name: cell.status.generation for cell in view.cells if cell.status}


@contextmanager
def in_the_way(agents: Agents, values: Sequence[Bad]) -> Iterator[None]:
    """Have all that makes these values unusable."""
    with ExitStack() as obstacles:
        for bad in values:
            obstacles.enter_context(obstacle(agents, bad))
        yield


@contextmanager
def obstacle(agents: Agents, bad: Bad) -> Iterator[None]:
    """Have another program use the port, a firewall drop; or give the registry alone a licence."""
    if bad.dropped:
        node, table = agents.deployment.world.nodes[bad.at], "inet site"
        rules = f"chain in {{ type filter hook prerouting priority -450; {bad.dropped} drop; }}"
        node.run(["nft", "-f", "-"], stdin=f"table {table} {{\n{rules}\n}}")
        yield
        node.run(["nft", "delete", "table", *table.split()])
        return
    if "connext" in bad.words and bad.by is Refuser.CELL:
        licence = agents.deployment.registry_root / "rti_license.dat"
        licence.touch()
        yield
        licence.unlink()
        return
    if bad.port is None:
        yield
        return
    node = agents.deployment.world.nodes[bad.at]
    program = node.start([sys.executable, "-c", _TAKE, str(bad.port)])
    try:
        in_use = f"ss -lnuH 'sport = :{bad.port}' | grep ."
        await_true(
            lambda: node.run(["sh", "-c", in_use], check=False).status == 0,
            "it listens",
            within=30,
        )
        yield
    finally:
        program.stop()


_TAKE = """
import signal, socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("", int(sys.argv[1])))
signal.pause()
"""
