"""`uno doctor` and `uno explain` on hosts with a fault, one at a time, and on hosts without any."""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack

import causes
import pytest
from lan_of_cell import LANS, LOST, lose_lan, networks, regain_lan
from watching import (
    await_true,
    note,
    only,
)

from uno import program
from uno.lab.agents import Agent, Agents
from uno.lab.node import as_on_a_stock_host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.mark.feature("G42")
def test_doctor_and_explain_find_nothing_wrong_where_all_is_well(well: Agents) -> None:
    causes.await_nothing_wrong(well.all)

    for observer in (well.registry, well.cells["lan-a"]):
        shown = causes.explained(observer, "lan-d", LOST)
        assert shown["reaches"] is True
        assert (shown["forth"]["cause"], shown["back"]["cause"]) == (None, None)


@pytest.mark.feature("G42")
def test_doctor_names_each_fault_of_a_host_and_nothing_else(well: Agents) -> None:
    world, pair = well.deployment.world, (well.cells["lan-b"], well.cells["lan-c"])
    for agent in pair:
        agent.stop()
    try:
        for faults in (*causes.ROUNDS, *((each,) for each in causes.ALONE)):
            with ExitStack() as made:
                for agent, fault in zip(pair, faults, strict=False):
                    made.enter_context(fault.make(world, agent))
                await_named(
                    *((it, each.check, each.named) for it, each in zip(pair, faults, strict=False))
                )
                if faults[0].name == "wrong key":
                    shown = causes.explained(pair[0], "lan-b", "lan-a")
                    assert faults[0].named in str(shown["forth"])
        causes.await_nothing_wrong(pair)
        causes.kill_routing(pair[0].node)
        await_named((pair[0], "routing", "FRR does not run"))
    finally:
        well.start(pair)


@pytest.mark.feature("G42")
def test_doctor_names_what_an_agent_cannot_mend(well: Agents) -> None:
    world, lan_a, lan_c, lan_d = well.deployment.world, *(well.cells[f"lan-{it}"] for it in "acd")
    with causes.without_route_back(world, lan_d):
        await_named((lan_d, "route-back", "192.168.4.1 answers this cell, and no other site"))
        shown = causes.explained(lan_d, "192.168.1.7", "192.168.4.1")
        assert "the LAN's router has no route back" in shown["forth"]["cause"]["what"]

    with causes.led_elsewhere(lan_d, "a.example.net", interface="uwg-b0"):
        await_named((lan_d, "links", f"the interface sends to {causes.NOBODY}:"))
        await_cause((lan_d,), ("192.168.4.1", "192.168.1.7"), "uwg-b0: lan-a has never")
    well.await_settled(within=120)

    lan_c.kill()
    try:
        await_named((lan_c, "agent", "the agent has ended"))
    finally:
        well.start([lan_c])

    # A port that is not forwarded, since the link to lan-d was made.
    world.cut("lan-d", "lan-a")
    try:
        (link,) = [it for it in causes.links(lan_a) if it["cell"] == lan_d.cell]
        lan_a.node.run(["ip", "link", "del", link["interface"]])
        named = "nothing has ever arrived from lan-d at UDP port"
        await_named((lan_a, "port-forwarding", named))
        shown = causes.explained(lan_a, "192.168.1.7", "192.168.4.7")
        assert shown["reaches"] is False
        assert "lan-d" in shown["forth"]["cause"]["what"]
    finally:
        world.restore("lan-d", "lan-a")


@pytest.mark.feature("G42")
def test_explain_names_the_first_cause_wherever_it_is(well: Agents) -> None:
    world, observers = well.deployment.world, (well.registry, well.cells["lan-a"])
    lan_c = well.cells["lan-c"]
    v4, v6 = LANS["lan-c"]
    (firewall,) = [it for faults in causes.ROUNDS for it in faults if it.name == "firewall"]

    lose_lan(lan_c)
    await_cause(observers, ("lan-a", v6), f"LAN {v6} is missing")
    regain_lan(lan_c)
    with firewall.make(world, lan_c):
        await_cause(observers, ("192.168.1.7", v4), "lan-c: chain through of nftables table")
    world.cut("lan-a", "lan-c")
    try:
        await_true(
            lambda: all(
                (shown := causes.explained(it, "192.168.1.7", v4))["reaches"] is True
                and "not by the planned path" in str(shown["forth"]["remarks"])
                for it in observers
            ),
            "the way around is shown",
            within=60,
        )
    finally:
        world.restore("lan-a", "lan-c")
    lan_c.kill()
    try:
        shown = causes.explained(observers[1], "192.168.1.7", v4)
        assert shown["forth"]["cause"] is None
    finally:
        well.start([lan_c])


@pytest.mark.feature("G42")
def test_doctor_names_a_ban_that_no_cell_has_and_explain_what_is_banned(well: Agents) -> None:
    registry = well.deployment.registry
    registry("ban", "particle", "jane", "-y")
    try:
        await_named((well.registry, "released", "ban of particle jane"))
        shown = causes.explained(well.registry, "192.168.1.7", "jane")
        assert shown["forth"]["cause"]["what"] == "particle jane is banned"
    finally:
        registry("unban", "particle", "jane", "-y")
        assert well.sync("-t", "120").status == 0


@pytest.mark.feature("G42")
def test_doctor_and_explain_name_a_cell_that_runs_another_generation(well: Agents) -> None:
    """It was away during the change, and cannot have it now: its host is in no such LAN."""
    world, lan_d, config = well.deployment.world, well.cells["lan-d"], well.deployment.registry
    observers, lan = (well.registry, well.cells["lan-a"]), "192.168.44.0/24"
    for peer in ("lan-a", "registry"):
        world.cut("lan-d", peer)
    try:
        await_true(lambda: not in_contact(well.registry, "lan-d"), "lan-d is away", within=120)
        config("config", "cell", "lan-d", "-U", "--add-network", lan, "-y")
        well.sync("-C", "-t", "2", check=False)
        others = [agent for name, agent in well.cells.items() if name != "lan-d"]
        await_true(
            lambda: all(lan in networks(each, "known") for each in others),
            "the others have the change",
            within=120,
        )
    finally:
        for peer in ("lan-a", "registry"):
            world.restore("lan-d", peer)
    try:
        named = "refused, the host of lan-d has no interface in 192.168.44.0/24"
        await_named((lan_d, "package", named), (well.registry, "cells", named))
        await_cause(observers, ("192.168.1.7", "192.168.44.7"), named)
    finally:
        config("config", "cell", "lan-d", "-U", "--remove-network", lan, "-y")
        assert well.sync("-t", "120").status == 0


def in_contact(observer: Agent, cell: str) -> bool:
    """Whether the agent of a node has contact with a cell."""
    return bool(only([each for each in observer.view().cells if each.name == cell]).alive)


@pytest.mark.feature("G42")
@pytest.mark.parametrize(
    "words", [("doctor",), ("explain", "lan-a", "lan-d")], ids=["doctor_takes", "explain_takes"]
)
def test_each_diagnosis_takes_less_than_two_seconds_of_a_processor(
    well: Agents, words: tuple[str, ...]
) -> None:
    # With waits of at most half a second at the same time: less than two seconds for its user.
    # A child of this process, so that its time is counted here.
    agent = well.cells["lan-a"]
    argv = as_on_a_stock_host(program.argv(*words, "-r", str(agent.root)))
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        assert agent.node.run(argv, timeout=60).status == 0
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        note(f"uno {words[0]} took {wall:.2f} s, {took[-1]:.2f} s of a processor")
    assert min(took) < 2


def await_named(*expected: tuple[Agent, str, str]) -> None:
    """Wait until `uno doctor` names this fault on each of these hosts, and no other."""
    found: dict[str, dict[str, str]] = {}

    def is_named() -> bool:
        found.update(causes.wrong_everywhere(agent for agent, _, _ in expected))
        return all(
            [*found[agent.name]] == [check] and named in found[agent.name][check]
            for agent, check, named in expected
        )

    try:
        after = await_true(is_named, f"{[it[1:] for it in expected]}", within=90)
    finally:
        note(f"{found}")
    note(f"{[check for _, check, _ in expected]} named after {after:.1f} s")


def await_cause(observers: tuple[Agent, ...], ends: tuple[str, str], named: str) -> None:
    """Wait until `uno explain` has this cause in both directions, wherever it is asked."""
    shown: list[str] = []

    def is_named() -> bool:
        nonlocal shown
        found = [causes.explained(each, *ends) for each in observers]
        shown = [str(each[way]["cause"]) for each in found for way in ("forth", "back")]
        return all(named in each for each in shown)

    try:
        await_true(is_named, named, within=90)
    finally:
        note(f"{ends}: {shown}")
