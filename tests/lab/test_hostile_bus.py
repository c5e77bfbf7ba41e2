"""A cell has been taken over: what its keys are good for on the bus.

What it forges of others is in test_hostile; here it says untrue things in its own name, is a writer
where only the registry should be, and sends more than anybody wants.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from thief import THIEF, Thief, node_address
from watching import await_true, holds, note, pause

from uno.lab import netns
from uno.lab.agents import Agent, Agents
from uno.lab.node import as_on_a_stock_host
from uno.model.plan import BusPlan
from uno.model.status import CellStatus, UvnView
from uno.ports.bus import CELL_INDEX, tcp_port

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.feature("G53"),
    pytest.mark.usefixtures("agents_start_from_scratch"),
]

EVIL = "\x1b]0;owned\x07\x1b[2J[bold red]all is well[/]\r\nlan-a 99 forged\u202e row"
DOMAIN = BusPlan().domain
# What one neighbour can have open at another that has received nothing on it yet, and what it has.
UNGREETED = 6


@pytest.fixture(scope="module")
def site(living: Agents) -> Thief:
    living.await_settled()
    living.cells[THIEF].kill()
    return Thief(agents=living)


def test_text_of_a_cell_is_plain_text_on_every_terminal_and_in_every_log(site: Thief) -> None:
    body = CellStatus(generation=1, problem=EVIL, version=EVIL, pending=(EVIL,), wireguard=EVIL)
    shown = "\\x1b]0;owned\\x07\\x1b[2J[bold red]all is well[/]\\x0d\\x0alan-a 99 forged\\u202e row"

    with site.writing(site.status(body, sequence=1 << 20)):
        for agent in site.others:
            await_true(
                lambda agent=agent: (
                    (status := site.seen_from(agent).status) is not None and status.problem == shown
                ),
                f"{agent.name} has it",
                within=20,
            )
        root = str(site.agents.deployment.registry_root)
        argv = [sys.executable, "-m", "uno", "status", "-r", root]
        page = site.agents.registry.node.run(as_on_a_stock_host(argv), check=False).stdout

    assert "[bold red]all is well[/]" in " ".join(page.split())
    assert all(line.isprintable() for line in page.splitlines())
    for agent in site.others:
        assert all(line.isprintable() for line in agent.log_text().splitlines())


def test_who_claims_a_generation_that_was_never_made_is_named_and_the_others_go_on(
    site: Thief,
) -> None:
    agents = site.agents
    agents.deployment.registry("define", "particle", "mallory", "-o", "john@example.org")

    with site.writing(site.status(CellStatus(generation=666), sequence=1 << 21)):
        await_true(
            lambda: (
                (status := site.seen_from(agents.registry).status) is not None
                and status.generation == 666
            ),
            "the registry has the claim",
            within=20,
        )
        done = agents.sync("-t", "60", check=False)
        agents.await_views(others_are_well, agents=site.others, within=30)

    text = " ".join(done.stdout.split()) + done.stderr
    assert done.status == 2
    assert f"{THIEF} claims to run generation 666, without a signature of the registry" in text


def test_the_highest_numbers_do_not_shut_the_cell_out_once_it_is_cleaned(site: Thief) -> None:
    lies = [
        site.status(CellStatus(generation=666), sequence=number)
        for number in ((1 << 64) - 1, 1 << 45)
    ]
    for each in lies:
        with site.writing(each):
            assert holds(lambda: not claims(site, 667), during=3)

    site.agents.start([site.agent])
    try:
        site.agents.await_settled(within=60)
    finally:
        site.agent.kill()


def test_a_writer_of_the_registrys_channel_is_not_the_registry(site: Thief) -> None:
    registry, cells = site.agents.registry, site.neighbours
    registry.kill()
    try:
        for each in cells:
            await_true(lambda each=each: not has_registry(each), f"{each.name} lost it", within=30)
        with site.sending("heartbeats"):
            assert holds(lambda: not any(map(has_registry, cells)), during=6)
        with site.writing(site.heartbeat(sequence=1 << 40)):
            await_true(
                lambda: all(map(has_registry, cells)),
                "what the registry has signed is believed",
                within=20,
            )
    finally:
        site.agents.start([registry])


def others_are_well(view: UvnView) -> bool:
    """Whether all but the thief's cell are on the newest generation, and that is named."""
    return (view.generation, view.undone) == (2, None) and all(
        cell.unproven if cell.name == THIEF else cell.consistent for cell in view.cells
    )


def has_registry(agent: Agent) -> bool:
    """Whether a cell reports that it reaches the registry."""
    own = next(each for each in agent.view().cells if each.id == agent.cell)
    return own.status is not None and own.status.registry


def claims(site: Thief, generation: int) -> bool:
    found = [site.seen_from(agent).status for agent in site.others]
    return any(status is not None and status.generation == generation for status in found)


@pytest.fixture(scope="module")
def at_rest(site: Thief) -> dict[str, tuple[float, float]]:
    return cost(site.others, during=4)


@pytest.mark.alone
@pytest.mark.parametrize("mode", ["subjects", "statuses", "large"])
def test_a_cell_that_floods_costs_others_little(
    site: Thief, at_rest: dict[str, tuple[float, float]], mode: str
) -> None:
    """Memory within 10 MB, and a core's 5 %, while it lasts and when it is over."""
    with site.sending(mode):
        # As much as may come at once is over.
        pause(4)
        flooded = cost(site.others, during=4)
    pause(1)
    after = cost(site.others, during=2)

    for name, (memory, share) in at_rest.items():
        note(f"{mode}: {name}: {at_rest[name]} at rest, then {flooded[name]} and {after[name]}")
        assert flooded[name][0] - memory < 10, name
        assert after[name][0] - memory < 10, name
        assert flooded[name][1] - share < 5, name
        assert after[name][1] - share < 5, name


def test_calls_without_an_end_and_noise_of_a_neighbour_take_nothing_and_end_nothing(
    site: Thief,
) -> None:
    """Half of the calls send nothing more than a hello's beginning, the others what is no frame."""
    chance, node = random.Random(17), site.agent.node  # noqa: S311 - repeatable
    (target, *_), own = site.neighbours, node_address(site, site.agent)
    place = node_address(site, target), tcp_port(DOMAIN, CELL_INDEX)
    before = target.pid, open_files(target)

    with ExitStack() as stack:
        for number in range(200):
            call = stack.enter_context(
                netns.socket_in(node.namespace, socket.AF_INET, socket.SOCK_STREAM)
            )
            with suppress(OSError):
                call.bind((own, 0))
                call.settimeout(0.2)
                call.connect(place)
                call.send(chance.randbytes(300) if number % 2 else b"\x01\0\0")
        assert open_files(target) <= before[1] + UNGREETED
        assert target.view_or_none() is not None

    assert target.pid == before[0]
    await_true(lambda: open_files(target) <= before[1], "all calls are closed", within=30)
    site.agents.start([site.agent])
    try:
        site.agents.await_settled(within=120)
    finally:
        site.agent.kill()


def open_files(agent: Agent) -> int:
    return sum(1 for _ in Path(f"/proc/{agent.pid}/fd").iterdir())


def cost(agents: Iterable[Agent], *, during: float) -> dict[str, tuple[float, float]]:
    """What each agent takes with its bus: resident memory in MB, and percent of a core."""
    before = {each.name: ticks(each) for each in agents}
    pause(during)
    return {
        each.name: (resident(each), 100 * (ticks(each) - before[each.name]) / during)
        for each in agents
    }


def processes(agent: Agent) -> tuple[int, ...]:
    """An agent, and what parses datagrams for it, if there is such a process."""
    return tuple(pid for pid in (agent.pid, agent.bus_pid) if pid is not None)


def ticks(agent: Agent) -> float:
    """Seconds of processor that an agent has used, without the programs that it has run."""
    used = 0
    for pid in processes(agent):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:13]))
    return used / os.sysconf("SC_CLK_TCK")


def resident(agent: Agent) -> float:
    found = [Path(f"/proc/{pid}/statm").read_text() for pid in processes(agent)]
    pages = sum(int(each.split()[1]) for each in found)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
