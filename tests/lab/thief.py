"""A cell that has been taken over: its keys, and what it writes and sends on the bus with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hostile_cell import Forgery
from watching import await_true

from uno.agent.commit.ledger import Ledger
from uno.lab.agents import Agent, Agents
from uno.model import codec
from uno.model.key_ids import cell_signing
from uno.model.messages import REGISTRY, Envelope, Kind, UvnAnnouncement
from uno.model.status import CellStatus, CellView
from uno.ports.bus import OWN, Topic
from uno.registry.publish.keygen import SIGNING, text
from uno.registry.store.generation_store import Store
from uno.statesync.envelope import signed, signer

THIEF = "lan-b"
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Thief:
    """The agents of four sites, and the keys of the one cell whose agent is dead."""

    agents: Agents

    @property
    def agent(self) -> Agent:
        return self.agents.cells[THIEF]

    @property
    def others(self) -> tuple[Agent, ...]:
        return tuple(each for each in self.agents.all if each is not self.agent)

    @property
    def neighbours(self) -> list[Agent]:
        """The cells that it has links with: the others get only what these relay."""
        package = Ledger(self.agent.root).current()
        assert package is not None
        linked = {each.cell for each in package.plan.links}
        return [each for each in self.others if each.cell in linked]

    def status(self, body: CellStatus, *, sequence: int) -> Forgery:
        """A status of its own, with a signature that is right."""
        package = Ledger(self.agent.root).current()
        assert package is not None
        sign = signer(package.secrets[cell_signing(self.agent.cell)])
        plain = Envelope(
            subject=self.agent.cell,
            kind=Kind.STATUS,
            sequence=sequence,
            relayed_by=self.agent.cell,
            body=codec.encode(body),
            signature=b"",
        )
        envelope = signed(plain, identity=package.plan.identity, sign=sign)
        return Forgery(Topic.STATUS, OWN, envelope)

    def heartbeat(self, *, sequence: int) -> Forgery:
        """What only the registry can sign: the thief does not have its key, the test does."""
        store = Store(self.agents.deployment.registry_root / "registry.db")
        try:
            private = text(store.secrets()[SIGNING].private)
            identity = store.head().plan.identity
        finally:
            store.close()
        plain = Envelope(
            subject=REGISTRY,
            kind=Kind.UVN,
            sequence=sequence,
            relayed_by=self.agent.cell,
            body=codec.encode(UvnAnnouncement(generation=1)),
            signature=b"",
        )
        return Forgery(Topic.UVN, OWN, signed(plain, identity=identity, sign=signer(private)))

    @contextmanager
    def writing(self, *forgeries: Forgery) -> Iterator[None]:
        """Have the thief on the bus with these."""
        file = self.agent.node.directory / "forgeries"
        file.write_bytes(codec.encode(list(forgeries)))
        with self._running(HERE / "hostile_cell.py", str(file), "60"):
            yield

    @contextmanager
    def sending(self, mode: str) -> Iterator[None]:
        """Have the thief send without an end, in a mode of `hostile_flood`."""
        with self._running(HERE / "hostile_flood.py", mode, "60"):
            yield

    @contextmanager
    def _running(self, script: Path, *arguments: str) -> Iterator[None]:
        node = self.agent.node
        log = node.directory / "hostile.log"
        log.write_text("")
        argv = [sys.executable, str(script), str(self.agent.root), *arguments]
        program = node.start(argv, log=log)
        try:
            await_true(lambda: "joined" in log.read_text(), "the thief is on the bus", within=30)
            yield
        finally:
            program.stop()

    def seen_from(self, agent: Agent) -> CellView:
        """The thief's cell, as another agent sees it."""
        return next(each for each in agent.view().cells if each.id == self.agent.cell)


def node_address(site: Thief, agent: Agent) -> str:
    package = Ledger(site.agent.root).current()
    assert package is not None
    assert package.plan.root is not None
    members = {each.id: str(each.node4) for each in package.roster.members}
    return members.get(agent.cell, str(package.plan.root.remote4))
