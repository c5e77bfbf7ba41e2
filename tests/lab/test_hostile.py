"""A cell has been taken over, and another is banned: what they try, and that nothing comes of it.

What they announce by BGP and send with false addresses is in test_trust, tampered messages by the
thousand in tests/property/test_hostile.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest
from hostile_cell import Forgery
from knocking import is_received
from watching import address_of, await_true, bgp_peers, holds, node_addresses, note

from uno.agent.commit.ledger import Ledger
from uno.lab.agents import Agent, Agents
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.particle_peer import connected, tunnels
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.world_layout import Role
from uno.model import codec
from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.messages import (
    REGISTRY,
    Activation,
    Envelope,
    Kind,
    UvnAnnouncement,
)
from uno.model.net import address
from uno.model.package import Package
from uno.model.status import CellStatus, UvnView
from uno.ports.bus import OWN, RELAY, Topic, offers_for
from uno.registry.publish.keygen import SIGNING
from uno.registry.store.generation_store import Store
from uno.render import package_file
from uno.statesync.envelope import seal, signed, signer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

THIEF, VICTIM = "lan-b", "lan-c"
TOPICS = {
    Kind.UVN: Topic.UVN,
    Kind.STATUS: Topic.STATUS,
    Kind.OFFER: Topic.OFFER,
    Kind.ACTIVATION: Topic.ACTIVATION,
}
# Higher than any that is in use.
LATER = 1 << 40


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Four sites with agents on their second generation; the thief's agent is dead."""

    agents: Agents
    first: bytes
    sign: dict[int, Callable[[bytes], bytes]]
    sealing: str
    identity: str

    @property
    def deployment(self) -> Deployment:
        return self.agents.deployment

    @property
    def thief(self) -> int:
        return self.agents.cells[THIEF].cell

    @property
    def victim(self) -> int:
        return self.agents.cells[VICTIM].cell

    def envelope(
        self, kind: Kind, subject: int, body: object, *, by: int, sequence: int = LATER
    ) -> Envelope:
        plain = Envelope(
            subject=subject,
            kind=kind,
            sequence=sequence,
            relayed_by=self.thief,
            body=body if isinstance(body, bytes) else codec.encode(body),
            signature=b"",
        )
        return signed(plain, identity=self.identity, sign=self.sign[by])

    def offer(self, package: bytes, *, by: int, sequence: int = LATER) -> Forgery:
        sealed = seal(
            package,
            public_key=self.sealing,
            identity=self.identity,
            cell=self.victim,
        )
        envelope = self.envelope(Kind.OFFER, self.victim, sealed, by=by, sequence=sequence)
        return Forgery(Topic.OFFER, offers_for(self.victim).partition, envelope)

    def signed_with(self, stolen: Package, status: CellStatus) -> Envelope:
        """Return a status that is signed with the key in a stolen package."""
        cell = stolen.plan.cell
        plain = Envelope(
            subject=cell,
            kind=Kind.STATUS,
            sequence=LATER,
            relayed_by=self.thief,
            body=codec.encode(status),
            signature=b"",
        )
        sign = signer(stolen.secrets[cell_signing(cell)])
        return signed(plain, identity=self.identity, sign=sign)

    @contextmanager
    def writing(self, *forgeries: Forgery) -> Iterator[None]:
        """Put the compromised cell on the bus with this message."""
        node = self.agents.cells[THIEF].node
        file, log = node.directory / "forgeries", node.directory / "hostile.log"
        file.write_bytes(codec.encode(list(forgeries)))
        log.write_text("")
        from hostile_cell import __file__ as script  # noqa: PLC0415

        root = str(self.deployment.cell_root(node))
        program = node.start([sys.executable, script, root, str(file), "60"], log=log)
        try:
            await_true(lambda: "joined" in log.read_text(), "the thief is on the bus", within=30)
            yield
        finally:
            program.stop()

    def view(self, name: str) -> UvnView:
        return (self.agents.registry if name == "registry" else self.agents.cells[name]).view()

    def warnings(self, name: str, text: str) -> int:
        """How often an agent has complained of something."""
        return self.agents.cells[name].log_text().count(text)


@pytest.fixture(scope="module")
def taken(living: Agents) -> Taken:
    deployment = living.deployment
    victim = living.cells[VICTIM]
    first = (victim.root / "package.uvn-agent").read_bytes()
    deployment.registry("define", "particle", "mallory", "-o", "john@example.org")
    living.sync()
    living.await_settled()
    assert (victim.root / "package.uvn-agent").read_bytes() != first
    with closing(Store(deployment.registry_root / "registry.db")) as store:
        secrets = store.secrets()
        identity = store.head().plan.identity
    thief = living.cells[THIEF].cell
    keys = {REGISTRY: SIGNING, thief: cell_signing(thief)}
    living.cells[THIEF].kill()
    return Taken(
        agents=living,
        first=first,
        sign={who: signer(text(secrets[key].private)) for who, key in keys.items()},
        sealing=text(secrets[cell_sealing(victim.cell)].public or b""),
        identity=identity,
    )


@pytest.mark.feature("F041")
@pytest.mark.feature("G20")
def test_what_it_forges_in_the_name_of_others_is_dropped_and_logged_once(
    taken: Taken,
) -> None:
    """Another's status, the registry's messages, a package of its own making, its own package."""
    thief, victim = taken.thief, taken.victim
    own = (taken.agents.cells[THIEF].root / "package.uvn-agent").read_bytes()
    forged = [
        Forgery(TOPICS[kind], partition, taken.envelope(kind, subject, body, by=thief))
        for kind, subject, body in (
            (Kind.STATUS, victim, CellStatus(generation=99)),
            (Kind.UVN, REGISTRY, UvnAnnouncement(generation=99, reason="stolen")),
            (Kind.ACTIVATION, REGISTRY, Activation(generation=2, undo=True)),
        )
        for partition in (OWN, RELAY)
    ]
    before = running(taken)

    with taken.writing(*forged, taken.offer(own, by=thief)):
        reason = "a message is not signed with the key of its originator"
        text = f"dropped a message from cell {thief}: {reason}"
        await_true(lambda: taken.warnings(VICTIM, text), "the victim logs a warning", within=20)
        assert holds(lambda: running(taken) == before, during=5)
        assert taken.warnings(VICTIM, text) == 1

    for name in ("registry", VICTIM, "lan-a"):
        found = {cell.id: cell for cell in taken.view(name).cells}[victim]
        assert found.status is not None
        assert found.status.generation == before[victim]
        assert taken.view(name).reason == ""


@pytest.mark.feature("G20")
@pytest.mark.parametrize("just_started", [False, True])
def test_a_package_from_before_is_not_taken_back(taken: Taken, *, just_started: bool) -> None:
    """The registry signed it once; an agent that has just started has received no later one."""
    victim = taken.agents.cells[VICTIM]
    replayed = taken.offer(taken.first, by=REGISTRY, sequence=1)
    there = (victim.root / "package.uvn-agent").read_bytes()
    if just_started:
        taken.agents.registry.kill()
        victim.kill()
    try:
        with taken.writing(replayed):
            taken.agents.start([victim])
            assert holds(lambda: not Ledger(victim.root).cell_state().staged, during=8)
        assert (victim.root / "package.uvn-agent").read_bytes() == there
        assert taken.warnings(VICTIM, "refused a package") <= 1
    finally:
        taken.agents.start([taken.agents.registry])


@pytest.mark.feature("G54")
def test_who_has_stolen_a_package_has_nothing_after_the_rekey_and_others_notice_nothing(
    taken: Taken,
) -> None:
    agents, deployment = taken.agents, taken.deployment
    victim = agents.cells[VICTIM]
    stolen = package_file.read((victim.root / "package.uvn-agent").read_bytes())
    others = [agent for agent in agents.cells.values() if agent.name not in {THIEF, VICTIM}]
    keys = {agent.name: keys_of(agent, victim.cell) for agent in others}
    assert any(in_use(agent, keys[agent.name]) for agent in others)
    sessions = sessions_between(others)

    deployment.registry("rekey", "cell", VICTIM, "--stolen")
    await_true(
        lambda: not any(in_use(agent, keys[agent.name]) for agent in others),
        "no cell accepts the old keys",
        within=15,
    )
    # It does not wait for the victim, which has no part in it.
    agents.sync("-C", "-t", "0", check=False)
    generation = newest(deployment)
    agents.await_views(lambda view: runs(view, others, generation), agents=[agents.registry])
    # What the thief signs as the victim is dropped, and the victim was sent nothing.
    forged = taken.signed_with(stolen, CellStatus(generation=99))
    with taken.writing(Forgery(Topic.STATUS, OWN, forged)):
        views = [agents.registry, *others]
        assert holds(lambda: not any(claims(each, victim.cell, 99) for each in views), during=3)
    assert not (victim.root / "staged.uvn-agent").exists()
    assert Ledger(victim.root).cell_state().running == stolen.manifest.generation

    deployment.install([victim.node])
    both = [victim, *others]
    agents.await_views(
        lambda view: runs(view, both, generation) and not view.rollout,
        agents=[agents.registry, *both],
        within=90,
    )
    assert not any(in_use(agent, keys[agent.name]) for agent in others)
    assert sessions_between(others) == sessions


@pytest.mark.feature("G54")
def test_a_ban_is_in_force_within_seconds_and_without_a_roll_out(taken: Taken) -> None:
    """The host of the thief still runs all that it had; the phone is connected."""
    deployment, released = taken.deployment, running(taken)
    guest = deployment.world.nodes["john"]
    others = [agent for agent in taken.agents.cells.values() if agent.name != THIEF]
    keys = {agent.name: keys_of(agent, taken.thief, guest.name) for agent in others}
    assert all(in_use(agent, keys[agent.name]) == keys[agent.name] for agent in others)
    assert sum(map(bool, keys.values())) > 1
    path = PingPath(guest.namespace, address_of(deployment.world.nodes["lan-c-host1"]))
    tunnel = tunnels(deployment.particle_package(guest))["lan-a"]

    with connected(guest, tunnel), PingMatrix([path]) as prober:
        assert prober.reach(within=10).missing == ()
        output = deployment.registry("ban", "particle", guest.name).stdout
        deployment.registry("ban", "cell", THIEF)
        took = await_true(
            lambda: not any(in_use(agent, keys[agent.name]) for agent in others),
            "no cell has a peer of what is banned",
            within=15,
        )
        assert prober.reach(within=2).missing == (path,)

    assert "at once" in output
    assert running(taken) == released
    note(f"what is banned is no peer of {len(others)} cells {took:.1f} s after the command")


@pytest.mark.feature("F046")
def test_a_banned_cell_has_no_road_left(taken: Taken) -> None:
    """The host of the thief still runs all that it had: links, routes, keys, and its own agent."""
    agents, deployment = taken.agents, taken.deployment
    thief = agents.cells[THIEF].node
    deployment.registry("ban", "cell", THIEF, "-y")
    agents.sync()
    others = [agent for agent in agents.all if agent.name != THIEF]
    agents.await_settled(agents=others, within=90)

    own = str(node_addresses(thief)[0])
    cells = [cell for cell in deployment.cells if cell is not thief]
    targets = [
        address("10.255.128.1"),
        *(node_addresses(cell)[0] for cell in cells),
        *(address_of(host) for host in deployment.world.having(Role.HOST) if outside(host)),
    ]
    hosts = [thief, deployment.world.nodes[f"{THIEF}-host1"]]
    with PingMatrix(
        [PingPath(host.namespace, target) for host in hosts for target in targets]
    ) as prober:
        assert len(prober.reach(within=3).missing) == len(prober.paths)

    for cell in cells:
        assert not is_received(cell, thief, str(node_addresses(cell)[0]), 7777, source=own)
        assert not is_received(thief, cell, own, 7777)
    forged = taken.envelope(Kind.STATUS, taken.thief, CellStatus(generation=99), by=taken.thief)
    with taken.writing(Forgery(Topic.STATUS, OWN, forged)):
        names = [cell.name for cell in taken.view("registry").cells]
        assert THIEF not in names
        assert holds(lambda: unheard(taken, others), during=3)
    hosts = [host for host in deployment.world.having(Role.HOST) if outside(host)]
    ways = [PingPath(one.namespace, address_of(other)) for one in hosts for other in hosts]
    with PingMatrix(ways) as prober:
        assert prober.reach(within=10).missing == ()


@pytest.mark.feature("G54")
def test_cells_follow_a_new_key_of_the_registry_also_one_that_was_away(taken: Taken) -> None:
    agents, deployment = taken.agents, taken.deployment
    others = [agent for agent in agents.cells.values() if agent.name != THIEF]
    away = agents.cells[VICTIM]
    away.kill()

    deployment.registry("rekey", "registry")
    agents.sync("-C", "-t", "0", check=False)
    present = [agent for agent in others if agent is not away]
    generation = newest(deployment)
    agents.await_views(lambda view: runs(view, present, generation), agents=[agents.registry])
    agents.start([away])

    agents.await_views(
        lambda view: runs(view, others, generation) and not view.rollout,
        agents=[agents.registry, *others],
        within=90,
    )
    manifests = [package_file.read_manifest(accepted(each)) for each in others]
    (key,) = {each.registry_key for each in manifests}
    shown = deployment.registry("show", "uvn").stdout
    assert package_file.fingerprint(key) in shown


def accepted(agent: Agent) -> bytes:
    return (agent.root / "package.uvn-agent").read_bytes()


def newest(deployment: Deployment) -> int:
    with closing(Store(deployment.registry_root / "registry.db")) as store:
        return store.head().number


def keys_of(agent: Agent, cell: int, particle: str = "") -> set[str]:
    """Return the public keys of a cell, and of a particle, as a cell's package has them."""
    package = Ledger(agent.root).current()
    assert package is not None
    links = {link.public_key for link in package.plan.links if link.cell == cell}
    return links | {peer.public_key for peer in package.particles if peer.particle.name == particle}


def in_use(agent: Agent, keys: set[str]) -> set[str]:
    """Return those of the keys that are peers of a cell's WireGuard interfaces."""
    return keys & set(agent.node.run(["wg", "show", "all", "peers"]).stdout.split())


def sessions_between(agents: list[Agent]) -> dict[tuple[str, str], object]:
    """Return how often each BGP session between these cells was established, and ended."""
    cells = {agent.cell for agent in agents}
    found: dict[tuple[str, str], object] = {}
    for agent in agents:
        package = Ledger(agent.root).current()
        assert package is not None
        peers = bgp_peers(agent.node)
        for link in package.plan.links:
            if link.cell in cells:
                peer = peers[str(link.remote4)]
                found[agent.name, str(link.remote4)] = (
                    peer["connectionsEstablished"],
                    peer["connectionsDropped"],
                )
    assert found
    return found


def runs(view: UvnView, agents: list[Agent], generation: int) -> bool:
    """Whether these cells run a generation, and nothing is pending."""
    cells = {agent.cell for agent in agents}
    found = [each.status for each in view.cells if each.id in cells and each.alive]
    return len(found) == len(cells) and all(
        status is not None and status.generation == generation and not status.pending
        for status in found
    )


def claims(agent: Agent, cell: int, generation: int) -> bool:
    """Whether an agent believes that a cell runs a generation."""
    return any(
        each.id == cell and each.status and each.status.generation == generation
        for each in agent.view().cells
    )


def running(taken: Taken) -> dict[int, int]:
    """The generation that each cell but the thief runs."""
    return {
        agent.cell: Ledger(agent.root).cell_state().running
        for agent in taken.agents.cells.values()
        if agent.name != THIEF
    }


def unheard(taken: Taken, others: list[Agent]) -> bool:
    return all(taken.thief not in {cell.id for cell in each.view().cells} for each in others)


def outside(host: Node) -> bool:
    return host.station.cell != THIEF


def text(key: bytes) -> str:
    return b64encode(key).decode()
