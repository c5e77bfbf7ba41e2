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
from watching import address_of, await_true, holds, node_addresses

from uno.agent.commit.ledger import Ledger
from uno.lab.agents import Agent, Agents
from uno.lab.deploy import Deployment
from uno.lab.node import Node
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
from uno.model.status import CellStatus, UvnView
from uno.ports.bus import OWN, RELAY, Topic, offers_for
from uno.registry.publish.keygen import SIGNING
from uno.registry.store.generation_store import Store
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


@pytest.mark.feature("F051")
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
