"""Agents of cells: how they start, commit packages, roll back, and handle what fails."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec import structs
from msgspec.structs import replace

import site_of_agents
from forwarding_answers import ForwardingAnswers, of_the_cell
from nft_rules import FIREWALLD
from site_of_agents import PATIENCE, QUICK, SEEN, Cell, Site, build, site
from uno import control, files
from uno.agent.commit import executor
from uno.agent.commit.commit_machine import CommitState, InstallVerdict, PendingCommit
from uno.agent.commit.drain_plan import DrainStep
from uno.agent.commit.drain_runner import RemainingSteps
from uno.agent.host_loop import cell_status
from uno.bus.memory import MemoryBus
from uno.cli.cell_notifications import CellNotifications
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.host.fake.fake_host import FakeHost
from uno.model.messages import Activation, Phase, UvnAnnouncement
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import CellStatus, LinkState
from uno.model.trust import Revocation, TrustUpdate
from uno.notify import mute
from uno.ports.bus import Channel, Topic
from uno.ports.events import NetworkChange
from uno.ports.host import Action, Nic, RemoveTunnel, SetSysctl, StartRouting, StopRouting
from uno.ports.prober import ProbeResult
from uno.render import package_file

# An agent may apply a package in less time than a test needs to observe it.
CHANGING = {Phase.APPLYING, Phase.APPLIED}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three cells; tests that change it take a copy."""
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture
def play(registry: Path, tmp_path: Path) -> Callable[[Callable[[Site], Awaitable[None]]], None]:
    """Play something on a site of its own."""

    def start(scene: Callable[[Site], Awaitable[None]]) -> None:
        async def run() -> None:
            shutil.copytree(registry, tmp_path / "registry")
            async with site(tmp_path / "registry", tmp_path) as made:
                await scene(made)

        asyncio.run(run())

    return start


Play = Callable[[Callable[[Site], Awaitable[None]]], None]


@pytest.mark.feature("F076")
def test_an_agent_connects_its_host_and_advertises_its_status(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()

        for name in "abc":
            status = site.status(name)
            assert status is not None
            assert status.generation == site.generation(name)
            assert status.content == site.cells[name].package.manifest.content
            assert all(lan.interface == "lan0" for lan in status.lans)
            assert "uno0" in str(site.cells[name].host)

    play(scene)


@pytest.mark.feature("G50")
def test_a_cell_that_is_muted_advertises_it_to_the_others_until_it_is_not(play: Play) -> None:
    async def scene(site: Site) -> None:
        cell, directory = site.cells["a"], site.cells["a"].ledger.directory
        cell.notifications = CellNotifications(directory, environ={})
        await site.start()
        assert cell.agent is not None

        def muted_at(name: str) -> bool:
            found = {each.id: each.muted_for > 0 for each in site.view(name).cells}
            assert not any(is_muted for id_, is_muted in found.items() if id_ != site.number("a"))
            return found[site.number("a")]

        assert not muted_at("b")
        mute.mute(directory, until=int(time.time()) + 3600)  # noqa: TID251 - as the command
        cell.agent.observe_soon()
        await site.until(lambda: muted_at("b") and muted_at("a"))

        mute.unmute(directory)
        cell.agent.observe_soon()
        await site.until(lambda: not muted_at("b") and not muted_at("a"))

    play(scene)


def test_a_second_pass_changes_nothing(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        assert cell.agent is not None
        done = list(cell.host.performed)

        cell.agent.reconcile_now()
        await site.settle()

        assert cell.host.performed == done

    play(scene)


@pytest.mark.feature("F078")
def test_it_does_not_start_without_its_lans_and_names_those_missing(play: Play) -> None:
    async def scene(site: Site) -> None:
        site.cells["a"].host.unplug("lan0")

        with pytest.raises(UnoError, match=r"no interface on 192\.168\.1\.0/24; it has none"):
            await site.launch("a")

        assert site.cells["a"].host.performed == []

    play(scene)


@pytest.mark.feature("F078")
def test_at_boot_lans_may_come_a_little_later(play: Play) -> None:
    async def scene(site: Site) -> None:
        cell = site.cells["a"]
        cell.supervised = True
        nic = cell.host.facts().nics[0]
        cell.host.unplug("lan0")
        site.launch("a")
        await site.until(lambda: cell.notified)
        assert cell.notified == ["STATUS=waiting for 192.168.1.0/24"]

        cell.host.plug(nic)

        await site.until(lambda: cell.notified[-1].startswith("READY=1\n"))

    play(scene)


@pytest.mark.feature("G14")
def test_a_host_that_boots_without_a_lan_that_it_was_in_connects_the_rest(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        await site.stop("a")
        cell = site.cells["a"]
        cell.host = FakeHost()
        cell.supervised = True
        cell.bring_up_links()

        site.launch("a")

        await site.until(lambda: problem_of(site))
        assert problem_of(site) == "the host has no interface on 192.168.1.0/24"
        assert "uno0" in str(cell.host)

    play(scene)


@pytest.mark.feature("G51")
def test_a_network_of_the_hosts_own_that_is_a_remote_lan_is_a_problem_while_it_is_there(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        bridge = Nic(name="br-app", addresses=(IPv4Interface("192.168.2.1/24"),))

        cell.host.plug(bridge)
        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))
        await site.until(lambda: problem_of(site))
        assert problem_of(site) == (
            "br-app has 192.168.2.0/24, which is also LAN 192.168.2.0/24 of b"
        )
        assert 'iifname "br-app" ip saddr 192.168.2.0/24 return' in str(cell.host)

        cell.host.unplug("br-app")
        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))
        await site.until(lambda: not problem_of(site))
        assert "br-app" not in str(cell.host)

    play(scene)


@pytest.mark.feature("F079")
def test_a_lan_that_goes_and_comes_back_while_it_runs_is_followed(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        nic = cell.host.facts().nics[0]

        cell.host.unplug("lan0")
        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))
        await site.until(lambda: lan_of(site) is None)
        assert "no interface on 192.168.1.0/24" in problem_of(site)
        await site.crash("a")
        await site.start("a")
        assert lan_of(site) is None, "it starts all the same: the network was up"

        cell.host.plug(nic)
        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))
        await site.until(lambda: lan_of(site) == "lan0")
        assert problem_of(site) == ""

    play(scene)


@pytest.mark.feature("F089")
@pytest.mark.feature("G21")
def test_a_package_is_staged_activated_applied_and_confirmed(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        activation = site.roll_out("a", "b", "c")
        for name in "abc":
            await site.until(lambda name=name: phase(site, name) is Phase.STAGED)
            assert site.cells[name].ledger.cell_state().running < activation.generation
        site.activate(activation)

        for name in "abc":
            await site.until(lambda name=name: phase(site, name) is Phase.CONFIRMED)
            assert site.cells[name].ledger.cell_state().running == activation.generation
            assert [each.phase for each in site.acks[site.number(name)]][-3:] == [
                Phase.APPLYING,
                Phase.APPLIED,
                Phase.CONFIRMED,
            ]

    play(scene)


def test_an_activation_may_arrive_before_its_package(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        generation = site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        site.activate(Activation(generation=generation, cells={site.number("a"): generation}))
        await site.settle()
        site.offer("a")

        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

    play(scene)


@pytest.mark.feature("G07")
def test_a_package_is_not_staged_while_the_change_before_is_not_over(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cells begin together, and none waits for links that another still has."""

    async def scene(site: Site) -> None:
        await site.start("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        with monkeypatch.context() as patch:
            patch.setattr(CommitState, "is_under_way", True)

            site.offer("a")
            await site.settle()

            assert phase(site, "a") is not Phase.STAGED

        await site.until(lambda: phase(site, "a") is Phase.STAGED)

    play(scene)


def test_a_route_through_a_link_that_is_still_to_go_leads_somewhere(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        agent = site.cells["a"].agent
        assert agent is not None
        change, package = agent._commit, agent._commit.package
        before = tuple(link.interface for link in package.plan.links)

        change.package = structs.replace(package, plan=structs.replace(package.plan, links=()))
        assert change.interfaces_to_remove == ()
        change._remaining = RemainingSteps(
            steps=(DrainStep(what="leave", package=package),), began=0.0, entered=math.inf
        )

        assert change.interfaces_to_remove == before != ()
        agent.observe_soon()
        wanted = tuple(f"remove {each}" for each in before)
        await site.until(lambda: site.status("a").pending == wanted)

    play(scene)


@pytest.mark.feature("G04")
def test_a_cell_that_loses_its_neighbours_rolls_back_and_names_them(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        before = site.generation("b")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("b")
        await site.until(lambda: phase(site, "b") is Phase.STAGED)

        site.cells["b"].host.sessions = ()
        # It still reaches them when the activation arrives.
        site.cells["b"].bring_up_links()
        site.activate(activation)
        await site.until(lambda: phase(site, "b") in CHANGING)
        site.cells["b"].host.sessions = ()

        await site.until(lambda: phase(site, "b") is Phase.REVERTED)
        ack = site.ack("b")
        assert ack is not None
        assert (ack.generation, ack.running) == (activation.generation, before)
        assert ack.reason == "it lost a"
        await site.settle()
        assert site.cells["b"].ledger.cell_state().running == before

    play(scene)


@pytest.mark.feature("G04")
@pytest.mark.feature("G52")
def test_a_cell_that_forwards_no_more_after_a_change_rolls_back(play: Play) -> None:
    async def scene(site: Site) -> None:
        answers = site.cells["b"].forwarding = ForwardingAnswers()
        await site.start()
        await site.until(lambda: forwards(site, "b") is True)
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("b")
        await site.until(lambda: phase(site, "b") is Phase.STAGED)

        # From the beginning of the change on.
        answers.answers = lambda each: of_the_cell(each) or phase(site, "b") is Phase.STAGED
        site.activate(activation)

        await site.until(lambda: phase(site, "b") is Phase.REVERTED)
        ack = site.ack("b")
        assert ack is not None
        assert ack.reason.startswith("it lost forwarding for 192.168.")

    play(scene)


@pytest.mark.feature("G05")
def test_sessions_that_outlive_the_keys_of_their_link_are_no_contact(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("b")
        await site.until(lambda: phase(site, "b") is Phase.STAGED)
        site.cells["b"].bring_up_links()
        site.activate(activation)
        await site.until(lambda: phase(site, "b") in CHANGING)

        site.cells["b"].host.handshakes = {}

        await site.until(lambda: phase(site, "b") is Phase.REVERTED)

    play(scene)


@pytest.mark.feature("G04")
def test_an_agent_that_is_killed_before_the_timeout_rolls_back_after_its_restart(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        before = site.generation("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a", confirm_timeout=1.5)
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        site.activate(activation)
        await site.until(lambda: phase(site, "a") in CHANGING)
        site.cells["a"].host.sessions = ()
        await site.until(lambda: phase(site, "a") is Phase.APPLIED)
        await site.crash("a")
        assert site.cells["a"].ledger.cell_state().pending is not None

        site.launch("a")

        await site.until(lambda: phase(site, "a") is Phase.REVERTED)
        assert site.cells["a"].ledger.cell_state().running == before

    play(scene)


@pytest.mark.feature("G04")
def test_a_change_is_confirmed_when_every_neighbour_has_answered_since(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    # BFD alone would never suffice.
    monkeypatch.setattr(executor, "detection_time", lambda _plan, _roster: math.inf)

    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        links = {link.remote4 for link in cell.package.plan.links}
        cell.probes.answers = {each: ProbeResult(last_answered=time.monotonic()) for each in links}
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        site.activate(site.roll_out("a"))
        await site.until(lambda: phase(site, "a") is Phase.APPLIED)
        await site.until(lambda: set(cell.probes.called) == links)
        await site.settle()
        assert phase(site, "a") is Phase.APPLIED, "a probe sent before shows nothing"

        cell.probes.answers = {each: ProbeResult(last_answered=time.monotonic()) for each in links}

        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

    play(scene)


@pytest.mark.feature("G04")
def test_a_change_is_recorded_while_wireguard_cannot_be_queried(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a")
        await site.until(lambda: phase(site, "a") is Phase.STAGED)

        def broken() -> NoReturn:
            raise TransientFailure("wg does not answer")

        activate = cell.ledger.activate
        with monkeypatch.context() as patch:

            def activate_and_break(pending: PendingCommit) -> Package:
                patch.setattr(cell.host, "peer_status", broken)
                return activate(pending)

            patch.setattr(cell.ledger, "activate", activate_and_break)
            site.activate(activation)
            await site.until(lambda: phase(site, "a") is Phase.APPLIED)
            assert cell.ledger.cell_state().pending is not None

        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

    play(scene)


@pytest.mark.feature("G04")
def test_what_is_undone_for_all_is_undone_where_it_was_confirmed(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        before = site.generation("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a")
        site.activate(activation)
        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

        undo = Activation(generation=activation.generation, cells=activation.cells, undo=True)
        site.activate(undo)

        await site.until(lambda: phase(site, "a") is Phase.REVERTED)
        assert site.cells["a"].ledger.cell_state().running == before
        # And again, by an explicit attempt.
        site.offer("a")
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        await site.settle()
        assert phase(site, "a") is Phase.STAGED, "the old activation does not discard it"
        site.activate(activation)
        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

    play(scene)


@pytest.mark.feature("G04")
def test_what_is_undone_for_all_is_undone_at_once_where_it_is_pending(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        before = site.generation("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a", confirm_timeout=PATIENCE)
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        site.activate(activation)
        await site.until(lambda: phase(site, "a") in CHANGING)
        site.cells["a"].host.sessions = ()
        await site.until(lambda: phase(site, "a") is Phase.APPLIED)

        site.activate(
            Activation(generation=activation.generation, cells=activation.cells, undo=True)
        )

        await site.until(lambda: phase(site, "a") is Phase.REVERTED)
        assert site.cells["a"].ledger.cell_state().running == before

    play(scene)


def test_a_change_during_an_observation_is_observed_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        site_of_agents, "QUICK", replace(QUICK, observe_every=1000.0, observe_fast=1000.0)
    )
    observations: list[CellStatus] = []

    async def scene(site: Site) -> None:
        await site.start("a")
        agent, loop = site.cells["a"].agent, asyncio.get_running_loop()
        assert agent is not None

        def collect_slowly(*words: Any) -> CellStatus:
            if not observations:
                requested = threading.Event()
                loop.call_soon_threadsafe(lambda: (agent.observe_soon(), requested.set()))
                assert requested.wait(PATIENCE)
            observations.append(collect(*words))
            return observations[-1]

        collect = cell_status.collect
        monkeypatch.setattr(cell_status, "collect", collect_slowly)
        agent.observe_soon()

        await site.until(lambda: len(observations) == 2)

    play(scene)


def test_sessions_that_come_up_without_a_notification_are_observed_and_losses_counted_anew(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = replace(QUICK, observe_every=1000.0, observe_fast=1000.0, fast_for=1000.0)
    monkeypatch.setattr(site_of_agents, "QUICK", replace(seldom, sessions_every=0.01))

    async def scene(site: Site) -> None:
        await site.start()
        cell = site.cells["a"]
        link, *_ = cell.package.plan.links
        cell.probes.answers = {link.remote4: ProbeResult(rtt=20.0, loss=0.3)}
        cell.bring_up_links({it.cell for it in cell.package.plan.links} - {link.cell})
        cell.watch.queue.put_nowait(frozenset({NetworkChange.ROUTING}))

        def state() -> LinkState:
            status = site.status("a")
            assert status is not None
            return next(each for each in status.links if each.cell == link.cell)

        await site.until(lambda: not state().works)
        assert cell.probes.restarted == ()

        cell.bring_up_links()
        await site.until(lambda: state().works)
        assert state().loss is None
        assert cell.probes.restarted == (link.remote4,)

    play(scene)


def test_a_host_that_cannot_be_observed_ends_no_agent(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        host = site.cells["a"].host

        def broken() -> NoReturn:
            raise TransientFailure("wg does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(host, "peer_status", broken)
            await site.settle()
        host.sessions = ()

        await site.until(lambda: not works(site))

    play(scene)


@pytest.mark.parametrize("kind", [TransientFailure, ActionNeeded])
def test_an_observation_that_needs_a_person_is_not_repeated_at_the_quick_interval(
    play: Play, monkeypatch: pytest.MonkeyPatch, kind: type[UnoError]
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell, tried = site.cells["a"], list[UnoError]()
        assert cell.agent is not None

        def broken() -> NoReturn:
            tried.append(kind("wg does not answer"))
            raise tried[-1]

        with monkeypatch.context() as patch:
            patch.setattr(cell.host, "peer_status", broken)
            cell.agent.observe_soon()
            await site.until(lambda: bool(tried))
            await site.settle(seconds=4 * QUICK.observe_every)

        assert (len(tried) > 2) == (kind is TransientFailure)

    play(scene)


@pytest.mark.feature("G12")
def test_routing_that_died_is_left_to_its_watchdog_first_and_then_started(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        as_it_was = str(cell.host)
        cell.host.perform(StopRouting())
        done = len(cell.host.performed)

        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))

        await site.until(lambda: str(cell.host) == as_it_was)
        assert [type(each) for each in cell.host.performed[done:]] == [StartRouting]

    play(scene)


@pytest.mark.feature("G08")
def test_a_link_whose_other_end_is_not_ready_keeps_its_keys_until_it_is(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        old = {link.cell: link.public_key for link in cell.package.plan.links}
        site.edit("rekey", "backbone", "-y")
        activation = site.roll_out("a")
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        staged = cell.ledger.staged()
        assert staged is not None
        new = {link.cell: link.public_key for link in staged.plan.links}
        assert old[2] != new[2]
        cell.host.handshakes |= dict.fromkeys(new.values(), 1)

        site.activate(structs.replace(activation, hold=("1-2",)))
        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)
        assert keys_of(cell) == {**new, 2: old[2]}
        # It does so after a crash, too.
        await site.crash("a")
        site.launch("a")
        await site.until(lambda: cell.agent is not None and site.status("a"))
        cell.agent.reconcile_now()
        await site.settle()
        assert keys_of(cell) == {**new, 2: old[2]}

        site.activate(activation)
        await site.until(lambda: keys_of(cell) == new)
        await site.settle()
        assert phase(site, "a") is Phase.CONFIRMED

    play(scene)


def test_a_package_that_cannot_be_applied_is_left_and_acknowledged_as_failed(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        before = site.generation("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a")
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        site.cells["a"].host.fail_at(1)

        site.activate(activation)

        await site.until(lambda: phase(site, "a") is Phase.FAILED)
        assert site.cells["a"].ledger.cell_state().running == before
        assert site.cells["a"].ledger.cell_state().pending is None

    play(scene)


def test_a_lan_that_the_host_is_not_in_is_refused_before_anything_changes(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        lans = ("-N", "192.168.1.0/24", "-N", "10.9.9.0/24")
        site.edit("config", "cell", "a", "-U", *lans)

        offer = site.offer("a")

        await site.until(lambda: phase(site, "a") is Phase.REFUSED)
        ack = site.ack("a")
        assert ack is not None
        assert ack.offer == offer.sequence
        assert ack.reason == "the host of a has no interface in 10.9.9.0/24"
        assert site.cells["a"].ledger.staged() is None

    play(scene)


@pytest.mark.feature("G20")
@pytest.mark.feature("G21")
def test_what_is_for_another_cell_older_or_altered_is_refused_and_changes_nothing(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(site: Site) -> None:
        old = site.package_bytes("a")
        generation = site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        site.cells["a"].ledger.accept(site.package_bytes("a"))
        await site.start("a")

        for wrong in (old, site.package_bytes("b"), site.package_bytes("a")[:-20], b"no package"):
            offer = site.offer("a", content=wrong).sequence
            await site.until(lambda offer=offer: answered(site, "a") == offer)
            assert phase(site, "a") is Phase.REFUSED
            # It arrives again by another path: it is answered once.
            site.network.redeliver()
        await site.settle()

        assert caplog.text.count("refused a package") == 4
        assert site.cells["a"].ledger.cell_state().running == generation
        assert site.cells["a"].ledger.staged() is None

    play(scene)


def test_the_package_that_runs_already_needs_no_activation(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")

        site.offer("a")

        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)

    play(scene)


@pytest.mark.feature("F089")
def test_a_package_that_is_installed_by_hand_is_changed_over_to(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        site.cells["a"].ledger.accept(site.package_bytes("a"))

        await site.until(lambda: phase(site, "a") is Phase.CONFIRMED)
        ack = site.ack("a")
        assert ack is not None
        assert ack.running == site.generation("a")

    play(scene)


@pytest.mark.feature("F075")
def test_an_installation_by_hand_gets_its_verdict_and_a_roll_back_is_in_the_status(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        before = site.generation("a")
        cell = site.cells["a"]
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        cell.ledger.accept(site.package_bytes("a"), install="one")
        await site.until(lambda: cell.ledger.cell_state().pending)
        cell.host.sessions = ()

        await site.until(lambda: verdict_of(cell))
        verdict = verdict_of(cell)
        assert verdict is not None
        assert (verdict.install, verdict.phase) == ("one", Phase.REVERTED)
        assert verdict.reason == "it lost b, c"
        await site.until(lambda: (status := site.status("a")) and status.undone)
        status = site.status("a")
        assert status is not None
        assert status.generation == before
        assert status.undone is not None
        assert str(status.undone) == "rolled back from generation 5: it lost b, c"

        cell.ledger.accept(site.package_bytes("a"), install="two", keep=True)

        await site.until(lambda: (it := verdict_of(cell)) and it.install == "two")
        verdict = verdict_of(cell)
        assert verdict is not None
        assert verdict.phase is Phase.CONFIRMED
        await site.until(
            lambda: (it := site.status("a")) and it.generation == 5 and it.undone is None
        )

    play(scene)


@pytest.mark.feature("F075")
def test_a_package_that_its_host_cannot_run_is_refused_whether_offered_or_installed(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        cell.refusal = "no licence"
        done = list(cell.host.performed)
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        site.offer("a")
        await site.until(lambda: phase(site, "a") is Phase.REFUSED)
        cell.ledger.accept(site.package_bytes("a"), install="one", keep=True)
        await site.until(lambda: verdict_of(cell))

        verdict = verdict_of(cell)
        assert verdict is not None
        assert (verdict.phase, verdict.reason) == (Phase.FAILED, "no licence")
        assert cell.package.manifest.generation == 4
        assert cell.host.performed == done

    play(scene)


@pytest.mark.feature("F075")
def test_a_package_of_the_registry_on_trial_is_kept_once_a_person_installs_it(play: Play) -> None:
    """Both bring the same package where a registry is restored: it must not be rolled back."""

    async def scene(site: Site) -> None:
        await site.start()
        cell = site.cells["a"]
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a", confirm_timeout=10 * PATIENCE)
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        site.activate(activation)
        await site.until(lambda: cell.ledger.cell_state().pending)
        cell.bring_up_links(())
        await site.until(lambda: phase(site, "a") is Phase.APPLIED)

        cell.ledger.accept(site.package_bytes("a"), install="one", keep=True)
        await site.until(lambda: verdict_of(cell))

        verdict = verdict_of(cell)
        assert verdict is not None
        assert (verdict.phase, verdict.generation) == (Phase.CONFIRMED, 5)

    play(scene)


@pytest.mark.feature("F040")
@pytest.mark.feature("G05")
@pytest.mark.parametrize("follows", [True, False])
def test_another_dds_domain_is_confirmed_once_the_registry_is_heard_in_it(
    play: Play, *, follows: bool
) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        site.edit("config", "uvn", "-U", "--dds-domain", "12")
        activation = site.roll_out(*"abc")
        for name in "abc":
            await site.until(lambda name=name: phase(site, name) is Phase.STAGED)
        site.announce(UvnAnnouncement(generation=5))
        site.activate(activation)
        await site.until(lambda: all(it.ledger.cell_state().pending for it in site.cells.values()))

        if follows:
            site.join(domain=12)
            site.announce(UvnAnnouncement(generation=5))

        await site.until(
            lambda: not any(it.ledger.cell_state().pending for it in site.cells.values())
        )
        expected = 5 if follows else 4
        for name, cell in site.cells.items():
            assert cell.package.manifest.generation == expected
            await site.until(
                lambda name=name: (
                    (it := site.status(name))
                    and (it.generation, it.undone is None) == (expected, follows)
                )
            )

    play(scene)


@pytest.mark.feature("G05")
@pytest.mark.parametrize("is_lost_before", [False, True])
def test_where_the_registry_was_in_contact_a_moved_way_is_not_confirmed_by_what_others_relay(
    play: Play, *, is_lost_before: bool
) -> None:
    """An interruption just before the change is no loss; a cell that lost it keeps the relay."""

    async def scene(site: Site) -> None:
        await site.start()
        site.announce(UvnAnnouncement(generation=4))
        await site.until(lambda: reaches_registry(site, "c"))
        site.edit("config", "uvn", "-U", "-a", "other.example.org")
        # Only the private cell connects to that address.
        activation, cell = site.roll_out("c"), site.cells["c"]
        await site.until(lambda: phase(site, "c") is Phase.STAGED)

        # What was delivered once is not delivered again.
        site.cut_off("c")
        await site.until(lambda: not site.view("c").cells[2].status.registry)
        await site.settle(seconds=SEEN.lease if is_lost_before else 0.0)
        if not is_lost_before:
            site.connect("c")
            await site.settle(seconds=0.05)
        site.activate(activation)
        await site.until(lambda: cell.ledger.cell_state().pending)
        site.cut_off("c")
        while cell.ledger.cell_state().pending:
            site.announce(UvnAnnouncement(generation=5))
            await site.settle(seconds=0.05)

        assert cell.ledger.cell_state().running == (5 if is_lost_before else 4)

    play(scene)


def reaches_registry(site: Site, name: str) -> bool:
    status = site.status(name)
    return status is not None and status.registry


@pytest.mark.feature("F095")
def test_a_status_reaches_a_node_that_receives_it_only_through_another(play: Play) -> None:
    async def scene(site: Site) -> None:
        for name in "bc":
            site.cut_off(name)
        await site.start("a")
        for name in "bc":
            site.launch(name)
        site.announce(UvnAnnouncement(generation=1, unreachable_from_registry=(2, 3)))

        # Cells reach each other, and the registry through the one that reaches it.
        await site.until(lambda: site.status("b") and site.status("c"))
        assert {each.relayed_by for each in site.received_for_unreachable} == {site.number("a")}
        await site.until(lambda: site.view("c").registry)
        assert site.view("c").generation == 1
        # Who is in contact follows from what cells advertise of their neighbours.
        await site.until(lambda: all(each.alive for each in site.view("c").cells))

    play(scene)


def test_a_package_arrives_through_a_neighbour_where_the_registry_is_not_reached(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        site.cut_off("b")
        await site.start("a")
        site.launch("b")
        site.announce(UvnAnnouncement(generation=1, unreachable_from_registry=(site.number("b"),)))
        await site.until(lambda: site.status("b"))
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")

        site.offer("b", adjacent=True)

        await site.until(lambda: phase(site, "b") is Phase.STAGED)

    play(scene)


def test_a_cell_that_lost_its_sequence_is_accepted_again(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        first = site.database.highest_sequence(site.number("a"))
        assert first > 0
        await site.crash("a")
        (site.cells["a"].ledger.directory / "sequence").unlink()

        site.launch("a")

        await site.until(lambda: site.database.highest_sequence(site.number("a")) > first)

    play(scene)


@pytest.mark.feature("G14")
def test_the_last_registry_messages_are_known_after_all_cells_booted_without_it(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        site.edit("config", "uvn", "-U", "--timing-profile", "fast")
        activation = site.roll_out("a", "b", "c")
        site.announce(UvnAnnouncement(generation=activation.generation, cells=activation.cells))
        await site.until(lambda: phase(site, "a") is Phase.STAGED)
        site.activate(activation)
        for name in "abc":
            await site.until(lambda name=name: phase(site, name) is Phase.CONFIRMED)
        received: list[int] = []

        site.bus.close()
        for name in "abc":
            await site.crash(name)
        for name in "abc":
            site.launch(name)
        await site.until(lambda: all(site.view(name).consistent for name in "abc"))

        assert site.view("c").generation == activation.generation
        await site.until(lambda: not site.view("c").registry)
        # A registry that lost its sequence receives the highest one that it had used.
        site.listen(lambda envelope: received.append(envelope.sequence))
        await site.until(lambda: site.sequence in received)

    play(scene)


def test_a_cell_that_boots_without_the_registry_has_its_public_facts_and_gives_them_on(
    play: Play,
) -> None:
    facts = Directory(generation=1, uvn="net", owner="o@example.org")

    def known(site: Site, name: str) -> Directory | None:
        agent = site.cells[name].agent
        return agent.directory() if agent else None

    async def scene(site: Site) -> None:
        await site.start("a")
        site.state_facts(facts)
        kept = site.cells["a"].ledger.directory / "directory.json"
        await site.until(kept.is_file)
        site.bus.close()
        await site.crash("a")

        site.launch("a")
        site.launch("b")

        await site.until(lambda: known(site, "b") == facts)

    play(scene)


@pytest.mark.feature("G53")
def test_a_cell_proves_its_generation_to_a_registry_that_announces_an_older_one(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell, running = site.number("a"), site.generation("a")
        site.announce(UvnAnnouncement(generation=running, cells={cell: running}))
        await site.until(lambda: site.view("a").registry)
        status = site.status("a")
        assert status is not None
        assert status.proof is None

        site.announce(UvnAnnouncement(generation=running - 1, cells={cell: running - 1}))

        await site.until(lambda: (it := site.status("a")) is not None and it.proof is not None)
        status, key = site.status("a"), site.cells["a"].package.manifest.registry_key
        assert status is not None
        assert status.proof is not None
        proven = package_file.read_proven(status.proof, registry_key=key)
        assert (proven.cell, proven.generation) == (cell, running)

    play(scene)


@pytest.mark.feature("G53")
def test_a_cell_does_not_take_another_writer_for_the_registry(play: Play) -> None:
    """Cell b writes to the registry's channel what it can: what the registry has sent before."""

    async def scene(site: Site) -> None:
        await site.start("a", "b")
        site.announce(UvnAnnouncement(generation=1))
        await site.until(lambda: site.view("a").registry and site.view("b").registry)
        old = site.cells["b"].agent._flood.state.last_registry_messages()[0]
        site.announce(UvnAnnouncement(generation=2))
        await site.until(lambda: site.view("a").generation == 2)

        site.bus.close()
        await site.until(lambda: not site.view("a").registry)

        site.cells["b"].bus.write(Channel(Topic.UVN), old)
        await site.settle()
        assert not site.view("a").registry

    play(scene)


@pytest.mark.feature("G12")
def test_an_agent_that_starts_over_a_running_network_changes_nothing(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        done = list(site.cells["a"].host.performed)
        await site.crash("a")

        site.launch("a")
        await site.until(lambda: site.cells["a"].agent and site.status("a"))
        await site.settle()
        await site.stop("a")

        assert site.cells["a"].host.performed == done

    play(scene)


@pytest.mark.feature("G12")
@pytest.mark.feature("G52")
def test_a_firewall_in_the_way_is_named_at_the_next_observation(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start()
        host = site.cells["a"].host

        host.foreign_rules = FIREWALLD
        await site.until(lambda: len(obstacles_of(site, "a")) == 1)

        host.foreign_rules = ""
        await site.until(lambda: obstacles_of(site, "a") == ())

    play(scene)


@pytest.mark.feature("G57")
def test_cells_probe_often_only_while_somebody_watches(play: Play) -> None:
    def probing(site: Site) -> set[bool]:
        return {cell.probes.watched for cell in site.cells.values()}

    async def scene(site: Site) -> None:
        await site.start()
        await site.until(lambda: probing(site) == {False})

        for is_watched in (True, False):
            site.announce(UvnAnnouncement(generation=4, watched=is_watched))
            await site.until(lambda expected=is_watched: probing(site) == {expected})

        socket = site.cells["a"].folder / control.SOCKET
        await asyncio.to_thread(control.request_view, socket)
        await site.until(lambda: probing(site) == {True})

    play(scene)


@pytest.mark.feature("G52")
def test_a_host_that_forwards_nothing_is_not_routed_until_it_does(play: Play) -> None:
    async def scene(site: Site) -> None:
        answers = site.cells["a"].forwarding = ForwardingAnswers()
        await site.start()
        await site.until(lambda: forwards(site) is True)
        assert answers.interfaces == ("lan0",)

        answers.answers = of_the_cell
        site.cells["a"].watch.queue.put_nowait(frozenset({NetworkChange.HOST}))
        await site.until(lambda: forwards(site) is False)
        (obstacle,) = obstacles_of(site, "a")
        assert "this host loses packets" in obstacle

        answers.answers = lambda _: True
        await site.until(lambda: forwards(site) is True)
        assert obstacles_of(site, "a") == ()

        await site.stop("a")
        assert answers.closed

    play(scene)


def forwards(site: Site, name: str = "a") -> bool | None:
    status = site.status(name)
    return status.lans[0].forwards if status else None


@pytest.mark.feature("F084")
def test_what_was_removed_by_hand_is_restored(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        as_it_was = str(cell.host)
        name = cell.package.plan.links[0].interface
        cell.host.perform(RemoveTunnel(name))
        assert str(cell.host) != as_it_was

        cell.watch.queue.put_nowait(frozenset({NetworkChange.HOST}))

        await site.until(lambda: str(cell.host) == as_it_was)

    play(scene)


@pytest.mark.feature("G51")
def test_a_change_without_a_notification_is_found_and_put_back(play: Play) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        as_it_was = str(cell.host)
        cell.host.sysctl("net.ipv4.fib_multipath_hash_policy", "0")
        assert str(cell.host) != as_it_was

        # Sooner than the next regular pass.
        async with asyncio.timeout(0.8 * QUICK.reconcile_every):
            await site.until(lambda: str(cell.host) == as_it_was)

    play(scene)


@pytest.mark.feature("G52")
def test_what_cannot_be_put_back_is_reported_however_often_it_is_tried(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        cell = site.cells["a"]
        perform, agent = cell.host.perform, cell.agent
        assert agent

        def read_only(action: Action) -> None:
            if isinstance(action, SetSysctl):
                raise ActionNeeded("/proc/sys is read-only")
            perform(action)

        def is_reported() -> bool:
            agent.reconcile_now()
            status = site.status("a")
            return status is not None and "net.ipv4.ip_forward is 0" in "".join(status.obstacles)

        monkeypatch.setattr(cell.host, "perform", read_only)
        cell.host.sysctl("net.ipv4.ip_forward", "0")

        await site.until(is_reported)

    play(scene)


# What is observed.


def verdict_of(cell: Cell) -> InstallVerdict | None:
    """The verdict on the last installation by hand."""
    return cell.ledger.persistent_state().verdict


def phase(site: Site, name: str) -> Phase | None:
    ack = site.ack(name)
    return ack.phase if ack else None


def answered(site: Site, name: str) -> int:
    ack = site.ack(name)
    return ack.offer if ack else 0


def lan_of(site: Site) -> str | None:
    status = site.status("a")
    return status.lans[0].interface if status else None


@pytest.mark.feature("G51")
@pytest.mark.parametrize("moment", ["from the start", "later"])
def test_a_disk_that_cannot_be_written_is_a_problem_and_ends_nothing(
    moment: str, play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(site: Site) -> None:
        cell = site.cells["a"]
        fill, directory = files.write_together, cell.ledger.directory

        def full(contents: Mapping[Path, bytes], **options: Any) -> None:
            if directory in {path.parent for path in contents}:
                raise ActionNeeded(f"cannot write {min(contents)}: the disk is full")
            fill(contents, **options)

        if moment == "later":
            await site.start("a")
            await site.until((directory / "networks.known").exists)
            (directory / "networks.known").unlink()
        with monkeypatch.context() as broken:
            broken.setattr(files, "write_together", full)
            if moment == "from the start":
                await site.start("a")
            known = f"cannot write {directory / 'networks.known'}: the disk is full"
            await site.until(lambda: known in problem_of(site))
            cell.bring_up_links()
            cell.watch.queue.put_nowait(frozenset({NetworkChange.ROUTING}))
            await site.until(lambda: works(site))
            assert sum(each.getMessage() == known for each in caplog.records) == 1

        await site.until((directory / "networks.known").exists)
        await site.until(lambda: known not in problem_of(site))

    caplog.set_level(logging.WARNING, logger="uno")
    play(scene)


def keys_of(cell: Cell) -> dict[int, str]:
    """The public keys of the neighbours, as the host has them."""
    tunnels = {each.name: each for each in cell.host.observe(()).tunnels}
    links = cell.package.plan.links
    return {link.cell: tunnels[link.interface].peers[0].public_key for link in links}


@pytest.mark.feature("G55")
def test_a_bus_that_has_no_process_is_a_problem_while_it_has_none(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        with monkeypatch.context() as broken:
            broken.setattr(MemoryBus, "problem", "the process of the bus does not answer")
            await site.until(lambda: problem_of(site))
            assert problem_of(site) == "the process of the bus does not answer"
        await site.until(lambda: not problem_of(site))

    play(scene)


def works(site: Site) -> bool:
    status = site.status("a")
    return status is not None and any(link.works for link in status.links)


def problem_of(site: Site) -> str:
    status = site.status("a")
    return status.problem if status else ""


def obstacles_of(site: Site, name: str) -> tuple[str, ...]:
    status = site.status(name)
    assert status is not None
    return status.obstacles


def links_on_host(site: Site, name: str) -> set[str]:
    """Return the names of the cells that a cell's host has links to."""
    package = package_file.read(site.package_bytes(name))
    there = {tunnel.name for tunnel in site.cells[name].host.observe(()).tunnels}
    names = {member.id: member.name for member in package.roster.members}
    return {names[link.cell] for link in package.plan.links if link.interface in there}


def received(site: Site, name: str) -> set[int]:
    """Return the cells whose statuses a cell has."""
    return {each.id for each in site.view(name).cells if each.status is not None}


def own_problem(site: Site, name: str) -> str:
    own = next(each.status for each in site.view(name).cells if each.name == name)
    return own.problem if own else ""


@pytest.mark.feature("G54")
def test_a_banned_cell_is_cut_off_at_once_whatever_package_runs_and_after_a_restart(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a", "b", "c")
        assert "b" in links_on_host(site, "a")
        await site.until(lambda: 2 in received(site, "a"))

        site.state_trust(TrustUpdate(cells=(Revocation(id=site.number("b")),)))

        for name in "ac":
            await site.until(lambda name=name: "b" not in links_on_host(site, name))
        assert 2 not in received(site, "a")
        assert site.cells["a"].package.manifest.generation == site.generation("a")
        # Its LAN's routes stay, so that nothing leaves by the default route.
        assert "192.168.2.0/24" in str(site.cells["a"].host)
        site.bus.close()
        await site.stop("a")
        site.launch("a")
        await site.until(lambda: 1 in received(site, "a"))
        await site.settle()
        assert "b" not in links_on_host(site, "a")
        # The banned cell reports why it reaches nobody.
        await site.until(lambda: "revoked this cell's keys" in own_problem(site, "b"))

    play(scene)


@pytest.mark.feature("G54")
def test_a_link_that_is_to_hold_its_keys_does_not_where_the_other_cell_s_were_stolen(
    play: Play,
) -> None:
    async def scene(site: Site) -> None:
        await site.start("a")
        old = {link.public_key for link in site.cells["a"].package.plan.links if link.cell == 2}
        site.edit("rekey", "cell", "b", "--stolen")
        activation = site.roll_out("a")
        await site.until(lambda: (ack := site.ack("a")) and ack.phase is Phase.STAGED)

        # As if the registry had not stated yet what is revoked, and b were left behind.
        site.activate(structs.replace(activation, hold=("1-2",)))
        await site.until(lambda: (ack := site.ack("a")) and ack.phase is not Phase.STAGED)

        def peers() -> set[str]:
            tunnels = site.cells["a"].host.observe(()).tunnels
            return {peer.public_key for tunnel in tunnels for peer in tunnel.peers}

        await site.until(lambda: not peers() & old)

    play(scene)
