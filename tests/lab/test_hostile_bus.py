"""A cell has been taken over: what its keys are good for on the bus.

What it forges of others is in test_hostile; here it says untrue things in its own name, is a writer
where only the registry should be, and sends more than anybody wants.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fuzz_datagrams import altered
from hostile_cell import Forgery
from watching import await_true, holds, note, pause

from uno.agent.commit.ledger import Ledger
from uno.lab import netns
from uno.lab.agents import Agent, Agents
from uno.lab.node import Node, as_on_a_stock_host
from uno.model import codec
from uno.model.key_ids import cell_signing
from uno.model.messages import REGISTRY, Envelope, Kind, UvnAnnouncement
from uno.model.plan import BusPlan
from uno.model.status import CellStatus, CellView, UvnView
from uno.ports.bus import CELL_INDEX, OWN, REGISTRY_INDEX, Topic, ports
from uno.registry.publish.keygen import SIGNING, text
from uno.registry.store.generation_store import Store
from uno.statesync.envelope import signed, signer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.feature("G53")]

THIEF, OTHER, RELAYING = "lan-b", "lan-c", "relay"
EVIL = "\x1b]0;owned\x07\x1b[2J[bold red]all is well[/]\r\nlan-a 99 forged\u202e row"
HERE = Path(__file__).parent
DOMAIN = BusPlan().domain
ALL_PROTOCOLS = 3
PAST_THE_FIREWALL = """\
nft -n list chain inet uno input 2>&- | grep -q 'iifname "lo" udp' ||
nft insert rule inet uno input iifname lo udp dport '{{' {ports} '}}' accept 2>&- || true
"""


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
    await_true(lambda: all(each.bus_pid for each in site.others), "each has its bus", within=60)
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


def test_altered_datagrams_end_no_agent(site: Thief) -> None:
    """Past the firewall, which would drop most of them: they come from the agent's own host.

    `scripts/fuzz_datagrams.py` sends a million.
    """
    targets = (site.agents.registry, site.agents.cells[OTHER])
    await_true(lambda: all(each.bus_pid for each in targets), "each has its bus", within=30)
    before = [(each.pid, each.bus_pid) for each in targets]
    status = site.status(CellStatus(generation=1, problem="x" * 3000), sequence=1 << 22)
    with tapped(site.agent.node) as datagrams, site.writing(status):
        await_true(lambda: len(datagrams()) > 10, "datagrams of the thief are captured", within=60)
        for each in targets:
            index = CELL_INDEX if each.cell else REGISTRY_INDEX
            bombard(each.node, node_address(site, each), ports(DOMAIN, index), datagrams())

    assert [(each.pid, each.bus_pid) for each in targets] == before
    assert all(each.view_or_none() is not None for each in targets)


@contextmanager
def tapped(node: Node) -> Iterator[Callable[[], list[bytes]]]:
    """Collect what passes on a node's bus; the value returns the different datagrams so far."""
    with netns.entered(node.namespace):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
    found: dict[tuple[int, bytes], bytes] = {}

    def datagrams() -> list[bytes]:
        with suppress(BlockingIOError):
            while frame := tap.recv(1 << 16):
                if (at := frame.find(b"RTPS")) >= 0:
                    found.setdefault((len(frame), frame[at + 20 : at + 24]), frame[at:])
        return list(found.values())

    with tap:
        tap.settimeout(0)
        yield datagrams


def bombard(
    node: Node, address: str, to: Sequence[int], datagrams: Sequence[bytes], *, count: int = 4000
) -> None:
    """Send altered datagrams from a host to its own bus, until so many have been received."""
    chance, began = random.Random(17), received(node)  # noqa: S311 - repeatable
    with netns.socket_in(node.namespace, socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send() -> bool:
            # The agent takes this rule away again.
            node.run(["sh", "-c", PAST_THE_FIREWALL.format(ports=",".join(map(str, to)))])
            for number in range(500):
                with suppress(OSError):
                    sender.sendto(altered(datagrams, chance), (address, to[number % 2]))
                pause(0.0002)
            return received(node) - began > count

        await_true(send, f"{count} datagrams are received", within=90)


def received(node: Node) -> int:
    """The datagrams that programs on a node have received so far (RFC 4113)."""
    with netns.entered(node.namespace):
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (row.split() for row in text.splitlines() if row.startswith("Udp: "))
    return int(values[names.index("InDatagrams")])


def node_address(site: Thief, agent: Agent) -> str:
    package = Ledger(site.agent.root).current()
    assert package is not None
    assert package.plan.root is not None
    members = {each.id: str(each.node4) for each in package.roster.members}
    return members.get(agent.cell, str(package.plan.root.remote4))


def cost(agents: Iterable[Agent], *, during: float) -> dict[str, tuple[float, float]]:
    """What each agent takes with its bus: resident memory in MB, and percent of a core."""
    before = {each.name: ticks(each) for each in agents}
    pause(during)
    return {
        each.name: (resident(each), 100 * (ticks(each) - before[each.name]) / during)
        for each in agents
    }


def ticks(agent: Agent) -> float:
    """Seconds of processor that an agent has used, without the programs that it has run."""
    used = 0
    for pid in (agent.pid, agent.bus_pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:13]))
    return used / os.sysconf("SC_CLK_TCK")


def resident(agent: Agent) -> float:
    both = [Path(f"/proc/{pid}/statm").read_text() for pid in (agent.pid, agent.bus_pid)]
    pages = sum(int(each.split()[1]) for each in both)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
