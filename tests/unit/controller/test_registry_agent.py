"""The registry's agent with scripted cells, well-behaved or not, on a bus in memory."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scripted_cells import Behaviour, ScriptedCell, installed, until
from uno import control
from uno.bus.memory import Impairment, MemoryBus, MemoryNetwork
from uno.controller import registry_agent, release_store
from uno.controller.registry_agent import ControllerEnvironment, RegistryAgent
from uno.controller.release_record import ReleaseRecord
from uno.controller.store_access import StoreAccess
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model import codec, package_formats
from uno.model.messages import Envelope, Kind, Phase, UvnAnnouncement
from uno.model.plan import Plan
from uno.model.status import UvnView
from uno.model.trust import Revocation, TrustUpdate
from uno.model.uvn import Uvn
from uno.ports.bus import REGISTRY_INDEX, RELAY, Channel, Received, Topic
from uno.ports.host import Desired
from uno.registry.changes import edits, key_rotation, membership, operations
from uno.registry.changes.edits import Edited, Setting
from uno.registry.changes.key_rotation import Networks
from uno.registry.changes.operations import Author
from uno.registry.publish import keygen
from uno.registry.store import backup, format_rows
from uno.statesync import envelope

# A minute of the agent's takes so much less of ours.
SPEED = 40

PASSPHRASE = "five random words, or six"  # noqa: S105 - it protects nothing

Edit = Callable[[Uvn], Edited]


@dataclass
class Scene:
    """A registry, its agent, and its cells. `networks` are the desired states that the host got."""

    root: Path
    by: Author
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    cells: dict[int, ScriptedCell] = field(default_factory=dict)
    networks: list[Desired] = field(default_factory=list)
    drift: float = 0.0
    refusal: str = ""
    buses: list[MemoryBus] = field(default_factory=list)
    make_page: Callable[[], Any] | None = None
    agent: RegistryAgent | None = None
    task: asyncio.Task[UvnView] | None = None

    def install(self, *names: str, **kinds: Any) -> None:
        for name in names:
            cell = ScriptedCell(network=self.network, running=installed(self.root, name), **kinds)
            self.cells[cell.id] = cell

    def edit(self, edit: Edit) -> int:
        with operations.opened(self.root, for_change=True) as registry:
            return operations.change(registry, edit, by=self.by, why="test").after.number

    def clock(self) -> float:
        return time.monotonic() * SPEED + self.drift

    def require(self, _in_use: Collection[Plan], _released: Plan) -> None:
        """Refuse a plan, as a host that lacks something for it does."""
        if self.refusal:
            raise ActionNeeded(self.refusal)

    def made_bus(self) -> MemoryBus:
        self.buses.append(self.network.bus())
        return self.buses[-1]

    @asynccontextmanager
    async def agent_at_work(self, **options: Any) -> AsyncIterator[RegistryAgent]:
        """Run the agent; at the end it is killed, as by kill -9."""
        agent = RegistryAgent(
            self.root,
            ControllerEnvironment(
                make_bus=self.made_bus,
                reconcile_host=self.networks.append,
                clock=self.clock,
                run=self.root.parent / "run",
                require_host=self.require,
                make_page=self.make_page,
            ),
        )
        async with asyncio.TaskGroup() as tasks:
            self.task = tasks.create_task(agent.run(**options))
            task = self.task
            await until(lambda: agent._server is not None or task.done(), "it serves")
            self.agent = agent
            try:
                yield agent
            finally:
                for bus in self.buses:
                    bus.crash()
                self.buses.clear()
                self.task.cancel()

    def start_cells(self) -> None:
        for cell in self.cells.values():
            cell.start()

    async def until_consistent(self, generation: int) -> UvnView:
        agent = self.agent
        assert agent is not None

        def is_consistent() -> bool:
            view = agent.view()
            return view.generation == generation and view.consistent and not view.rollout

        await until(is_consistent, f"consistent on {generation}: {agent.view()}")
        return agent.view()

    def record(self) -> ReleaseRecord:
        with operations.opened(self.root) as registry:
            found = release_store.read(registry.store)
        assert found is not None
        return found


@pytest.fixture
def scene(root: Path, definition: Callable[..., Uvn], by: Author) -> Scene:
    """A registry of three cells, all of which have their packages."""
    operations.define_uvn(root, Edited(uvn=definition()), by=by)
    scene = Scene(root=root, by=by)
    scene.install("c1", "c2", "c3")
    return scene


def in_domain(domain: int) -> Edit:
    return lambda uvn: Edited(uvn=replace(uvn, settings=replace(uvn.settings, dds_domain=domain)))


def add_lan(cell: str, number: int = 77) -> Edit:
    lan = IPv4Network(f"10.77.{number}.0/24")

    def edit(uvn: Uvn) -> Edited:
        cells = tuple(
            replace(each, allowed_lans=(*each.allowed_lans, lan)) if each.name == cell else each
            for each in uvn.cells
        )
        return Edited(uvn=replace(uvn, cells=cells))

    return edit


def present_cells_run(scene: Scene, agent: RegistryAgent, generation: int) -> bool:
    running = {scene.cells[cell].generation for cell in (1, 2)}
    return running == {generation} and not agent.view().rollout


@pytest.mark.feature("F077")
@pytest.mark.feature("F090")
@pytest.mark.feature("F092")
@pytest.mark.feature("G04")
def test_a_release_is_staged_everywhere_activated_together_and_confirmed(scene: Scene) -> None:
    async def play() -> UvnView:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            generation = scene.edit(add_lan("c1"))
            await agent.release()
            return await scene.until_consistent(generation)

    view = asyncio.run(play())

    assert view.generation == 2
    for cell in scene.cells.values():
        assert [phase for phase, _ in cell.log] == [Phase.STAGED, Phase.APPLIED, Phase.CONFIRMED]
        assert cell.violations == []


def test_the_public_facts_of_the_generation_in_force_are_stated_once_all_run_it(
    scene: Scene,
) -> None:
    def stated(cell: ScriptedCell) -> int:
        return cell.directory.generation if cell.directory else 0

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            for cell in scene.cells.values():
                await until(lambda cell=cell: stated(cell) == 1, "it has the facts")
            generation = scene.edit(add_lan("c1"))
            await agent.release()
            await scene.until_consistent(generation)
            for cell in scene.cells.values():
                await until(lambda cell=cell: stated(cell) == generation, "and the newer ones")

    asyncio.run(play())

    found = scene.cells[1].directory
    assert found is not None
    assert [cell.name for cell in found.cells] == ["c1", "c2", "c3"]
    assert IPv4Network("10.77.77.0/24") in found.cells[0].lans


@pytest.mark.feature("G53")
def test_forgeries_cause_no_pass(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[float] = []
    original = RegistryAgent._pass

    async def counted(self: RegistryAgent) -> None:
        passes.append(time.monotonic())
        await original(self)

    monkeypatch.setattr(RegistryAgent, "_pass", counted)

    async def play() -> float:
        async with scene.agent_at_work() as agent:
            await until(lambda: bool(passes), "it works")
            passes.clear()
            began = time.monotonic()
            for number in range(1, 41):
                forged = Envelope(
                    subject=1,
                    kind=Kind.STATUS,
                    sequence=number,
                    relayed_by=2,
                    body=b"{}",
                    signature=bytes(64),
                )
                agent._deliver(Received(Channel(Topic.STATUS), forged))
                await asyncio.sleep(0.03)
            return time.monotonic() - began

    seconds = asyncio.run(play())

    # By time alone there is one every two seconds.
    assert len(passes) <= seconds / 2 + 2


@pytest.mark.feature("G05")
def test_cells_that_are_still_in_the_old_dds_domain_are_heard_until_all_have_confirmed(
    scene: Scene,
) -> None:
    def domains() -> set[int]:
        return {domain for domain, peer in scene.network.places if peer.index == REGISTRY_INDEX}

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            # These cells stay in the domain in which they started.
            scene.start_cells()
            await scene.until_consistent(1)
            assert domains() == {46}
            generation = scene.edit(in_domain(47))
            await agent.release()
            await until(lambda: domains() == {46, 47}, "it is in both")
            await scene.until_consistent(generation)
            await until(lambda: domains() == {47}, "it has left the old one")

    asyncio.run(play())


@pytest.mark.feature("G55")
def test_a_bus_that_has_no_process_is_what_a_rollout_waits_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            with monkeypatch.context() as broken:
                broken.setattr(MemoryBus, "problem", "the process of the bus does not answer")
                assert agent.view().rollout == "waits: the process of the bus does not answer"
            assert agent.view().rollout == ""

    asyncio.run(play())


def test_what_the_registrys_host_cannot_run_is_not_released(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.refusal = "UDP port 19162 is used"
            scene.edit(in_domain(47))
            with pytest.raises(ActionNeeded, match="UDP port 19162 is used"):
                await agent.release()
            assert agent.view().generation == 1
            assert scene.record().release.generation == 1

    asyncio.run(play())

    assert all(cell.log == [] for cell in scene.cells.values())


def test_an_edit_that_is_not_released_reaches_no_cell(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work():
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
        # Nor does another start of the agent release it.
        async with scene.agent_at_work():
            await scene.until_consistent(1)

    asyncio.run(play())

    assert all(cell.log == [] for cell in scene.cells.values())
    assert scene.record().release.generation == 1


@pytest.mark.feature("G41")
def test_the_number_of_changes_that_wait_is_announced_until_they_are_released(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            assert agent.view().waiting == 0
            scene.edit(add_lan("c1", 77))
            scene.edit(add_lan("c1", 78))
            await until(lambda: agent.view().waiting == 2, "two changes wait")
            await agent.release()
            await until(lambda: agent.view().waiting == 0, "none waits")

    asyncio.run(play())


@pytest.mark.feature("G59")
def test_the_format_of_packages_rises_with_the_last_cell_and_until_then_names_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_formats, "FORMAT", 2)
    scene.cells[1].package_format = 2
    held_back = "packages are written in format 1, not in 2: update uno on c2, c3"

    async def roll_out(agent: RegistryAgent, generation: int) -> dict[int, int]:
        assert scene.edit(add_lan("c1", generation)) == generation
        await agent.release()
        await scene.until_consistent(generation)
        return {cell: it.running.manifest.format for cell, it in scene.cells.items()}

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await until(lambda: formats_known(scene) == {1: 2, 2: 1, 3: 1}, "all advertise")
            assert agent.view().package_format == 2
            assert warnings(scene) == (held_back,)
            assert await roll_out(agent, 2) == {1: 1, 2: 1, 3: 1}
            scene.cells[2].package_format = scene.cells[3].package_format = 2
            await until(lambda: formats_known(scene) == {1: 2, 2: 2, 3: 2}, "all are upgraded")
            assert warnings(scene) == ()
            assert await roll_out(agent, 3) == {1: 2, 2: 2, 3: 2}

    asyncio.run(play())


def formats_known(scene: Scene) -> dict[int, int]:
    with operations.opened(scene.root) as registry:
        return format_rows.advertised(registry.store.database)


def warnings(scene: Scene) -> tuple[str, ...]:
    with operations.opened(scene.root) as registry:
        made = operations.change(registry, add_lan("c2"), by=scene.by, why="", dry_run=True)
    return tuple(each.what for each in made.warnings)


def test_the_root_vpn_is_removed_when_the_agent_ends_and_kept_when_it_is_killed(
    scene: Scene,
) -> None:
    async def play() -> None:
        async with scene.agent_at_work(until=lambda view: view.consistent) as agent:
            scene.start_cells()
            assert scene.task is not None
            await scene.task
            assert not control.is_served(scene.root.parent / "run" / "01234567-0" / "agent.sock")
            del agent

    asyncio.run(play())

    assert scene.networks[0].tunnels[0].name == "uwg-v1"
    assert scene.networks[-1] == Desired()


@pytest.mark.parametrize("loss", [0.2])
def test_packet_loss_only_delays_a_rollout(scene: Scene, loss: float) -> None:
    scene.network.impairment = Impairment(loss=loss, delay=0.002, reorder=0.3, duplicate=0.2)

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            for number in range(3):
                generation = scene.edit(add_lan("c2", number))
                await agent.release()
                await scene.until_consistent(generation)

    asyncio.run(play())

    assert all(cell.violations == [] for cell in scene.cells.values())


@pytest.mark.feature("G04")
def test_a_rejected_package_changes_no_cell(scene: Scene) -> None:
    scene.cells[2].behaviour = Behaviour.REFUSE

    async def play() -> tuple[UvnView, UvnView]:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            await until(lambda: agent.view().undone == 2, "it is given up")
            refused = agent.view()
            # A person corrects what was wrong, and releases again.
            scene.cells[2].behaviour = Behaviour.NORMAL
            await agent.release()
            return refused, await scene.until_consistent(2)

    refused, mended = asyncio.run(play())

    assert refused.reason == "c2 rejected its package: the disk is full"
    assert refused.generation == 1
    assert refused.consistent
    assert mended.undone is None
    assert scene.cells[1].log[-1] == (Phase.CONFIRMED, 2)


@pytest.mark.feature("G05")
@pytest.mark.parametrize("behaviour", [Behaviour.REVERT, Behaviour.FAIL])
def test_a_cell_that_rolls_back_makes_all_roll_back_once(
    scene: Scene, behaviour: Behaviour
) -> None:
    scene.cells[3].behaviour = behaviour

    async def play() -> tuple[UvnView, UvnView]:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            await until(lambda: agent.view().undone == 2 and agent.view().consistent, "undone")
            undone = agent.view()
        scene.cells[3].behaviour = Behaviour.NORMAL
        async with scene.agent_at_work() as agent:
            # A restart does not try again by itself; a person does.
            await until(lambda: agent.view().consistent, "still undone")
            assert agent.view().undone == 2
            tried = {cell.id: len(cell.log) for cell in scene.cells.values()}
            assert tried == {cell.id: len(cell.log) for cell in scene.cells.values()}
            await agent.release()
            return undone, await scene.until_consistent(2)

    undone, mended = asyncio.run(play())

    assert undone.generation == 1
    assert undone.reason.startswith("c3 ")
    assert mended.undone is None
    for cell in scene.cells.values():
        assert [phase for phase, _ in cell.log].count(Phase.REVERTED) <= 1
        assert cell.log[-1] == (Phase.CONFIRMED, 2)


PHASES: dict[str, Callable[[Scene], bool]] = {
    "released": lambda scene: scene.record().release.generation == 2,
    "staged": lambda scene: any(cell.staged for cell in scene.cells.values()),
    "activated": lambda scene: scene.record().activation is not None,
    "changed": lambda scene: any(cell.generation == 2 for cell in scene.cells.values()),
    "confirmed": lambda scene: any((Phase.CONFIRMED, 2) in c.log for c in scene.cells.values()),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_agent_continues_after_a_restart(scene: Scene, phase: str) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            await until(lambda: PHASES[phase](scene), phase)
        async with scene.agent_at_work():
            await scene.until_consistent(2)

    asyncio.run(play())

    for cell in scene.cells.values():
        assert cell.violations == []
        assert [each for each, _ in cell.log].count(Phase.APPLIED) == 1


def test_a_cell_that_missed_ten_generations_catches_up_alone(scene: Scene) -> None:
    away = scene.cells[3]

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.cells[1].start()
            scene.cells[2].start()
            for number in range(10):
                generation = scene.edit(add_lan("c1", number))
                await agent.release()
                is_there = partial(present_cells_run, scene, agent, generation)
                await until(is_there, f"generation {generation}")
            away.start()
            await scene.until_consistent(11)

    asyncio.run(play())

    assert away.log == [(Phase.STAGED, 11), (Phase.APPLIED, 11), (Phase.CONFIRMED, 11)]


def test_a_late_cell_that_rolled_back_gets_another_offer_only_on_request(
    scene: Scene,
) -> None:
    late = scene.cells[3]

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.cells[1].start()
            scene.cells[2].start()
            generation = scene.edit(add_lan("c1"))
            await agent.release()
            await until(partial(present_cells_run, scene, agent, generation), "the others")
            late.behaviour = Behaviour.REVERT
            late.start()
            await until(lambda: (Phase.REVERTED, 2) in late.log, "it goes back")
            await asyncio.sleep(0.5)
            assert [phase for phase, _ in late.log].count(Phase.STAGED) == 1
            assert {scene.cells[it].generation for it in (1, 2)} == {2}
            late.behaviour = Behaviour.NORMAL
            await agent.release()
            await scene.until_consistent(2)

    asyncio.run(play())

    assert late.log[-1] == (Phase.CONFIRMED, 2)


def copied(root: Path, other: Path) -> None:
    """Copy a registry that may be written meanwhile."""
    shutil.copytree(root, other, ignore=shutil.ignore_patterns("registry.db*"))
    database = other / "registry.db"
    database.touch(mode=0o600)
    with (
        closing(sqlite3.connect(root / "registry.db")) as here,
        closing(sqlite3.connect(database)) as there,
    ):
        here.backup(there)


def test_a_diverged_copy_of_the_registry_is_rejected(scene: Scene, tmp_path: Path) -> None:
    other = tmp_path / "copy"

    async def play() -> UvnView:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            copied(scene.root, other)
            scene.edit(add_lan("c1", 1))
            await agent.release()
            await scene.until_consistent(2)
        scene.root = other
        scene.edit(add_lan("c2", 2))
        async with scene.agent_at_work(release=True) as agent:
            await until(lambda: agent.view().undone == 2, "they refuse")
            return agent.view()

    view = asyncio.run(play())

    assert "rejected its package: it is not newer" in view.reason
    content = installed(tmp_path / "registry", "c1").manifest.content
    assert scene.cells[1].running.manifest.content == content


def test_a_registry_from_an_old_backup_announces_that_it_is_older(
    scene: Scene, tmp_path: Path
) -> None:
    saved, restored = tmp_path / "saved", tmp_path / "restored"

    async def play() -> tuple[UvnView, UvnView]:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            with operations.opened(scene.root) as registry:
                backup.write(registry, saved, passphrase=PASSPHRASE, now=scene.by.time)
            for number in range(3):
                generation = scene.edit(add_lan("c1", number))
                await agent.release()
                await scene.until_consistent(generation)
        backup.restore(saved, restored, ask=lambda: PASSPHRASE)
        scene.root = restored
        async with scene.agent_at_work(release=True) as agent:
            await until(lambda: agent.view().undone is not None, "it announces so")
            older = agent.view()
            with operations.opened(restored, for_change=True) as registry:
                operations.change(
                    registry, lambda it: Edited(uvn=it), by=scene.by, why="anew", relayout=True
                )
            await agent.release()
            return older, await scene.until_consistent(1001)

    older, mended = asyncio.run(play())

    assert "older than the network: c1 runs generation 4" in older.reason
    assert mended.undone is None
    assert scene.cells[2].generation == 1001


@pytest.mark.feature("G53")
def test_a_cell_that_claims_a_generation_that_was_never_made_is_named_and_left_out(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> UvnView:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.cells[3].claims = 666
            scene.cells[3].behaviour = Behaviour.STAGE_NOTHING
            scene.cells[3].advertise()
            scene.edit(add_lan("c1"))
            await agent.release()
            await until(lambda: present_cells_run(scene, agent, 2), "the others go on")
            return agent.view()

    with caplog.at_level(logging.INFO, logger="uno"):
        view = asyncio.run(play())

    assert (view.undone, view.reason) == (None, "")
    assert [cell.unproven for cell in view.cells] == [False, False, True]
    assert [cell.consistent for cell in view.cells] == [True, True, False]
    assert caplog.text.count("c3  claims to run generation 666, without a signature") == 1
    assert scene.record().settled
    assert 666 not in scene.record().running.values()


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_clocks_that_are_wrong_by_a_day_do_no_harm(scene: Scene, jump: float) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            scene.drift += jump
            for cell in scene.cells.values():
                cell.advertise()
            await scene.until_consistent(2)

    asyncio.run(play())

    assert all(cell.violations == [] for cell in scene.cells.values())


def test_a_banned_cell_is_no_peer_before_anything_is_staged(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            assert len(scene.networks[-1].tunnels[0].peers) == 3
            for cell in scene.cells.values():
                cell.behaviour = Behaviour.STAGE_NOTHING
            scene.edit(lambda uvn: membership.exclude_cell(uvn, "c3", excluded=True))
            await agent.release()
            await until(lambda: len(scene.networks[-1].tunnels[0].peers) == 2, "dropped")

    asyncio.run(play())

    assert scene.record().activation is None


@pytest.mark.feature("F051")
def test_the_root_vpn_switches_keys_after_the_activation_and_falls_back_for_cells_that_missed_it(
    scene: Scene,
) -> None:
    def keys_of(desired: Desired) -> tuple[str, ...]:
        tunnel = desired.tunnels[0]
        return (tunnel.private_key.reveal, *(peer.public_key for peer in tunnel.peers))

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            old = keys_of(scene.networks[-1])
            scene.cells[3].stop()
            scene.drift += 100
            for cell in (scene.cells[1], scene.cells[2]):
                cell.advertise()
            scene.edit(lambda uvn: key_rotation.rekey_uvn(uvn, Networks(root=True)))
            await agent.release()
            assert keys_of(scene.networks[-1]) == old
            await until(lambda: scene.cells[1].generation == 2, "one has them")
            await until(lambda: keys_of(scene.networks[-1]) != old, "so has the registry")
            new = keys_of(scene.networks[-1])
            # The third cell is unreachable: in fallback phases the registry uses its earlier keys.
            await until(lambda: keys_of(scene.networks[-1]) == old, "a turn")
            scene.cells[3].start()
            await until(lambda: scene.cells[3].generation == 2, "it caught up")
            await until(lambda: keys_of(scene.networks[-1]) == new, "back")
            await scene.until_consistent(2)
            await until(lambda: epochs() == {1}, "the old keys are gone")

    def epochs() -> set[int]:
        with operations.opened(scene.root) as registry:
            return {each.epoch for each in registry.store.secret_table.epochs("root/")}

    asyncio.run(play())


def test_a_cell_without_direct_contact_is_reached_through_its_neighbour(
    scene: Scene,
) -> None:
    near, far = scene.cells[1], scene.cells[3]
    near.relays_for = far.id

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            near.start()
            scene.cells[2].start()
            far.start(reaches_registry=False, near=(near,))
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            await scene.until_consistent(2)

    asyncio.run(play())

    assert far.log[-1] == (Phase.CONFIRMED, 2)


@pytest.mark.feature("F092")
def test_a_sync_request_releases_and_is_watched_through_the_socket(scene: Scene) -> None:
    async def play() -> list[UvnView]:
        async with scene.agent_at_work():
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            path = control.socket_path("0123456789abcdef", 0, run=scene.root.parent / "run")

            def follow() -> list[UvnView]:
                seen = []
                for view in control.watch_views(path, control.ControlRequest.SYNC):
                    seen.append(view)
                    if view.generation == 2 and view.consistent and not view.rollout:
                        break
                return seen

            return await asyncio.to_thread(follow)

    views = asyncio.run(play())

    assert views[-1].consistent
    assert views[0].generation == 2


def test_a_second_agent_of_the_same_registry_ends_with_an_error(scene: Scene) -> None:
    with operations.opened(scene.root) as registry:
        signing = registry.store.secrets()[keygen.SIGNING]
    sign = envelope.signer(keygen.text(signing.private))
    identity = scene.cells[1].running.manifest.identity
    plain = Envelope(subject=0, kind=Kind.UVN, sequence=0, relayed_by=1, body=b"", signature=b"")

    def published_by_copy(sequence: int) -> Envelope:
        body = codec.encode(UvnAnnouncement(generation=7))
        numbered = replace(plain, sequence=sequence, body=body)
        return envelope.signed(numbered, identity=identity, sign=sign)

    async def play() -> None:
        async with scene.agent_at_work():
            scene.start_cells()
            for times in range(1, 8):
                await asyncio.sleep(0.1)
                scene.cells[1].write(
                    Channel(Topic.UVN, RELAY), published_by_copy(1_000_000 * times)
                )

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(play())

    assert "another agent of this registry is running" in str(caught.value.exceptions[0])


def test_without_a_root_vpn_the_hint_is_to_copy_packages_by_hand(scene: Scene) -> None:
    scene.edit(
        lambda uvn: edits.apply(
            uvn, [Setting(option="-x", path=("settings", "enable_root_vpn"), value=False)]
        )
    )

    async def play() -> None:
        async with scene.agent_at_work():
            pass

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(play())

    assert "by hand" in str(caught.value.exceptions[0].hint)  # type: ignore[union-attr]


def test_a_transient_failure_of_the_store_is_tried_again_and_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, failures = StoreAccess.write, list[UnoError]()

    def busy(self: StoreAccess, record: ReleaseRecord) -> None:
        if record.activation is not None and len(failures) < 3:
            failures.append(TransientFailure("the registry is in use by process 7 (uno)"))
            raise failures[-1]
        write(self, record)

    monkeypatch.setattr(StoreAccess, "write", busy)

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(add_lan("c1"))
            await agent.release()
            await scene.until_consistent(2)

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())

    assert len(failures) == 3
    assert caplog.messages.count(str(failures[0])) == 1
    assert scene.record().settled


@pytest.mark.feature("G51")
def test_a_failure_that_needs_a_person_is_shown_and_the_agent_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_self: StoreAccess, _record: ReleaseRecord) -> None:
        raise ActionNeeded("the disk is full")

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            with monkeypatch.context() as broken:
                broken.setattr(StoreAccess, "write", full)
                scene.start_cells()
                await until(lambda: "the disk is full" in agent.view().rollout, "it is shown")
            await scene.until_consistent(1)

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())

    assert caplog.messages.count("the disk is full") == 1
    assert all(each.tunnels for each in scene.networks[:-1])


def test_a_failure_that_needs_a_person_ends_a_command(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: StoreAccess, _record: ReleaseRecord) -> None:
        raise ActionNeeded("the disk is full")

    monkeypatch.setattr(StoreAccess, "write", full)

    async def play() -> None:
        async with scene.agent_at_work(until=lambda _: False):
            scene.start_cells()
            assert scene.task is not None
            await until(scene.task.done, "it ends")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(play())

    assert "the disk is full" in str(caught.value.exceptions[0])


def root_peers(scene: Scene) -> int:
    return len(scene.networks[-1].tunnels[0].peers)


@pytest.mark.feature("G54")
def test_a_ban_is_published_and_obeyed_without_a_release(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            assert root_peers(scene) == 3

            scene.edit(lambda it: membership.exclude_cell(it, "c2", excluded=True))
            await until(lambda: root_peers(scene) == 2, "c2 is no peer of the root VPN")

            assert scene.cells[1].trust == TrustUpdate(cells=(Revocation(id=2),))
            assert scene.record().release.generation == 1
            assert [cell.name for cell in agent.view().cells] == ["c1", "c3"]
        # So it is after a restart, and before any release.
        async with scene.agent_at_work():
            await until(lambda: root_peers(scene) == 2, "c2 is no peer of the root VPN")

    asyncio.run(play())


@pytest.mark.feature("G54")
def test_a_cell_with_stolen_keys_is_out_until_it_has_its_new_package_by_hand(
    scene: Scene,
) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(lambda it: key_rotation.rekey_stolen_cell(it, "c2"))
            await until(lambda: root_peers(scene) == 2, "c2 is no peer of the root VPN")

            await agent.release()
            await until(lambda: generations(1, 3) == {2}, "the others run generation 2")
            await until(lambda: not agent.view().rollout, "the rollout is over")
            # Nothing was sealed for it, and what it signs with the old key counts for nothing.
            assert scene.cells[2].log == []
            assert root_peers(scene) == 3
            assert not next(it for it in agent.view().cells if it.id == 2).alive

            scene.cells[2].stop()
            scene.install("c2")
            scene.cells[2].start()
            await scene.until_consistent(2)

    def generations(*cells: int) -> set[int]:
        return {scene.cells[cell].generation for cell in cells}

    asyncio.run(play())


@pytest.mark.feature("G54")
def test_the_registry_s_new_key_is_used_at_once_and_cells_follow(scene: Scene) -> None:
    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            scene.edit(key_rotation.rekey_registry)
            await until(
                lambda: all(cell.trust.registry_keys for cell in scene.cells.values()),
                "all cells have the new key",
            )

            await agent.release()
            await scene.until_consistent(2)

    asyncio.run(play())

    keys = {cell.running.manifest.registry_key for cell in scene.cells.values()}
    assert keys == {scene.cells[1].trust.registry_keys[0].key}


@dataclass
class ScriptedPage:
    """A page that fails at its first start, and has cells measure once it is served."""

    failures: int = 1
    starts: int = 0
    changes: int = 0
    ended: bool = False
    view: Callable[[], UvnView] | None = None

    async def run(self, view: Callable[[], UvnView], watch: Callable[[], None]) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise ActionNeeded("this registry has no certificates")
        self.view = view
        watch()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    def changed(self) -> None:
        self.changes += 1


@pytest.mark.feature("G43")
def test_the_page_of_the_registry_shows_what_its_agent_has_and_ends_with_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry_agent, "_PAGE_INTERVAL", 0.05)
    page = ScriptedPage()
    scene.make_page = lambda: page

    async def play() -> None:
        async with scene.agent_at_work() as agent:
            scene.start_cells()
            await scene.until_consistent(1)
            # It has failed, and was made again; the agent went on meanwhile.
            await until(lambda: page.view is not None, "the page is served")
            assert page.view == agent.view
            assert agent._watched_until > scene.clock()
            before = page.changes
            await until(lambda: page.changes > before, "it is shown what has changed")
        await until(lambda: page.ended, "it ends with the agent")

    with caplog.at_level(logging.WARNING, logger="uno"):
        asyncio.run(play())

    assert [it for it in caplog.messages if "page" in it] == [
        "no web page: this registry has no certificates"
    ]
