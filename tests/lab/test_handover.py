"""An agent and the commands on its host, and what becomes of it while the agent runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import await_true, line, note, stream, unreached

from uno.host.command import Completed
from uno.lab import deploy
from uno.lab.agents import Agent, Agents
from uno.lab.node import Node
from uno.lab.world_layout import Role
from uno.model.status import CellStatus

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled()
    yield living
    living.start()
    living.await_settled()


# As it is before a fixture replaces it.
started = deploy.start_uno


def test_a_forked_agent_is_what_one_that_is_started_is(
    well: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other labs rely on: `prefork`."""
    agent = well.cells["lan-b"]
    found, ended = [identity(agent)], [agent.stop()]

    with monkeypatch.context() as patched:
        patched.setattr(deploy, "start_uno", started)
        well.start([agent])
    well.await_settled(agents=[agent])
    found.append(identity(agent))
    agent.kill()
    ended.append(agent.ended() or 0)
    well.start([agent])
    agent.kill()

    assert found[0] == found[1]
    assert ended == [0, -9]
    assert agent.ended() == -9


@pytest.mark.feature("F088")
def test_a_second_agent_of_a_cell_is_refused_and_harms_nothing(well: Agents) -> None:
    agent = well.cells["lan-b"]

    second = uno(agent.node, "agent", "-r", str(agent.root))

    assert second.status == 2
    assert "an agent of lan-b of corp runs on this host already, as process" in second.stderr
    assert "Traceback" not in second.stderr
    assert agent.view_or_none() is not None
    assert unreached(well.deployment, within=1) == []


@pytest.mark.feature("F105")
def test_what_an_agent_keeps_up_is_not_taken_down_beside_it(well: Agents) -> None:
    agent = well.cells["lan-b"]
    root = str(agent.root)

    up = uno(agent.node, "service", "up", "-r", root)
    down = uno(agent.node, "service", "down", "-r", root)

    assert "lan-b is managed by its agent, process" in up.stdout
    assert down.status == 2
    assert "stop it first: uno service down agent" in down.stderr
    assert unreached(well.deployment, within=1) == []


@pytest.mark.feature("F105")
@pytest.mark.feature("G12")
def test_a_host_goes_from_the_agent_to_none_and_back_without_losing_a_packet(well: Agents) -> None:
    agent = well.cells["lan-b"]
    root = str(agent.root)
    world = well.deployment.world
    hosts = [world.having(Role.HOST, cell=name)[0] for name in ("lan-a", "lan-b", "lan-d")]
    prober, flows = stream([line(a, b) for a in hosts for b in hosts if a is not b])

    with prober, flows:
        assert agent.stop() == 0
        done = uno(agent.node, "service", "up", "-r", root)
        assert "no change" in done.stdout
        agent.start()
        await_true(agent.view_or_none, "the agent answers", within=30)

    lost = sum(flow.lost for flow in flows.flows.values())
    sent = sum(flow.sent for flow in flows.flows.values())
    note(f"agent, no agent, agent: {lost} of {sent} pings lost")
    assert lost == 0


@pytest.mark.feature("F102")
def test_the_agent_alone_is_stopped_by_a_command_and_the_network_stays_up(well: Agents) -> None:
    agent = well.cells["lan-b"]
    down = ("service", "down", "agent", "-r", str(agent.root))

    done, again = uno(agent.node, *down), uno(agent.node, *down)
    # Its lock is free a moment before the interpreter ends.
    await_true(lambda: agent.ended() is not None, "the process ends", within=10)
    ended, missing = agent.ended(), unreached(well.deployment, within=1)
    well.start([agent])

    assert done.stdout == "the agent of lan-b is stopped\n"
    assert again.stdout == "the agent of lan-b did not run\n"
    assert (ended, missing) == (0, [])
    well.await_settled()


@pytest.mark.feature("F105")
def test_once_the_agent_is_stopped_the_host_can_be_disconnected_and_it_connects_it_again(
    well: Agents,
) -> None:
    agent = well.cells["lan-d"]
    agent.stop()

    uno(agent.node, "service", "down", "-r", str(agent.root))
    assert "uno0" not in agent.node.run(["ip", "link"]).stdout
    well.start([agent])

    well.await_settled()


@pytest.mark.feature("F079")
def test_a_lan_that_goes_and_comes_back_is_withdrawn_and_announced(well: Agents) -> None:
    agent = well.cells["lan-c"]
    agent.node.unplug("lan0")

    gone = await_true(lambda: not lans(agent), "lan-c has no LAN", within=20)
    seen = await_true(
        lambda: (status := own(well.cells["lan-a"])) and status.unreachable,
        "lan-a does not reach it",
        within=20,
    )
    agent.node.plug("lan0")

    back = await_true(lambda: lans(agent), "lan-c has its LAN again", within=20)
    note(f"LAN gone: withdrawn after {gone:.1f} s, seen {seen:.1f} s later; back {back:.1f} s")
    well.await_settled()


@pytest.mark.feature("F078")
def test_an_agent_that_starts_without_its_lan_shows_which_is_missing(well: Agents) -> None:
    agent = well.cells["lan-d"]
    agent.stop()
    uno(agent.node, "service", "down", "-r", str(agent.root))
    agent.node.unplug("lan0")

    done = uno(agent.node, "agent", "-r", str(agent.root))

    agent.node.plug("lan0")
    assert done.status == 2
    assert "no interface on 192.168.4.0/24; it has" in done.stderr


@pytest.mark.feature("G12")
@pytest.mark.parametrize("name", ["lan-a", "relay"])
def test_an_interface_that_was_removed_comes_back_soon(well: Agents, name: str) -> None:
    agent = well.cells[name]

    agent.node.run(["ip", "link", "delete", "uwg-b0"])

    def is_back() -> bool:
        return agent.node.run(["ip", "link", "show", "uwg-b0"], check=False).status == 0

    took = await_true(is_back, "the interface is there", within=20)
    note(f"a removed interface is back after {took:.1f} s")
    well.await_settled()


@pytest.mark.feature("F089")
def test_a_package_that_is_copied_by_hand_is_changed_over_to_at_once(well: Agents) -> None:
    agent, deployment = well.cells["lan-b"], well.deployment
    deployment.registry("config", "cell", "lan-b", "-U", "--location", "attic", "-y")
    package = deployment.package(agent.node)
    copy = agent.node.directory / package.name
    copy.write_bytes(package.read_bytes())

    done = uno(agent.node, "install", str(copy), "-r", str(agent.root))

    assert done.status == 0
    assert "Its agent has it on trial" in done.stdout
    assert "is confirmed." in done.stdout
    status = own(agent)
    assert status is not None
    assert f"generation {status.generation}, in" in done.stdout
    well.sync("-t", "60")


def identity(agent: Agent) -> dict[str, object]:
    """What the kernel shows of an agent's process that its commands and the kernel depend on."""
    process = Path(f"/proc/{agent.pid}")
    status = (row.split(":\t") for row in (process / "status").read_text().splitlines())
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    parent, group, session = map(int, fields[1:4])
    # The first that it opened follow the standard ones, unless it had others before.
    files = [str((process / "fd" / str(number)).readlink()) for number in range(6)]
    return {
        **{name: value for name, value in status if name in OF_A_PROCESS},
        "led by its parent": parent == group == session,
        "nice": fields[16],
        "limits": (process / "limits").read_text(),
        "oom": (process / "oom_score_adj").read_text(),
        "places": [str((process / each).readlink()) for each in ("cwd", "root")],
        "namespaces": {each.name: str(each.readlink()) for each in (process / "ns").iterdir()},
        "files": [re.sub(r"\d+", "N", each) for each in files],
    }


# Rows of proc_pid_status(5).
OF_A_PROCESS = (
    *("Name", "Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt"),
    *("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"),
    *("CoreDumping", "THP_enabled", "Cpus_allowed"),
)


def uno(node: Node, *arguments: str) -> Completed:
    """Run `uno WORDS` on a node, whatever its exit status."""
    return deploy.uno(node, *arguments, timeout=60, check=False)


def own(agent: Agent) -> CellStatus | None:
    """The status that an agent has of its own cell."""
    view = agent.view_or_none()
    return next((c.status for c in view.cells if c.id == agent.cell), None) if view else None


def lans(agent: Agent) -> list[str]:
    """The LANs that it has."""
    status = own(agent)
    return [lan.interface for lan in status.lans if lan.interface] if status else []
