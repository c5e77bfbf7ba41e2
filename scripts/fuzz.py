#!/usr/bin/env python3
"""Feed agents with altered input, and count what they do not refuse properly.

    scripts/fuzz.py [--seed N] [--statements N] [--packages N] [--json FILE]

Statements have valid signatures of a cell or of the registry, and altered bodies; a cell's flooding
and the registry's receiver process them. Packages are altered, or made of altered members with a
valid signature. Anything but the refusal that the interface names counts as a crash, and the first
of them are printed. The growth of memory is that of this process, without the first tenth of the
inputs. Exit status 1 if there is a crash, or the memory has grown by more than 10 MB.

Datagrams of the bus: `fuzz_datagrams.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from uno.cli.output.status_view import renderable
from uno.controller.receiver import Receiver
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import Rollout, step
from uno.host import command
from uno.model.codec import encode
from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.messages import REGISTRY, Ack, Activation, Envelope, Kind, Phase, UvnAnnouncement
from uno.model.net import network
from uno.model.package import Package, RegistryKey
from uno.model.status import (
    CellStatus,
    LanState,
    LinkState,
    ParticleState,
    PathState,
    UvnView,
)
from uno.model.trust import Revocation, TrustUpdate
from uno.ports.bus import Channel, Received, Topic
from uno.registry.publish.keygen import SIGNING
from uno.registry.store.generation_store import Store
from uno.render import package_file
from uno.render.package_file import PackageRejected
from uno.statesync.envelope import Untrusted, seal, signed, signer, unseal
from uno.statesync.flooding import Flood
from uno.statesync.state_database import view

GROWTH_LIMIT = 10.0
"""MB that a process may grow by."""

TOPICS = {
    Kind.UVN: Topic.UVN,
    Kind.STATUS: Topic.STATUS,
    Kind.ACTIVATION: Topic.ACTIVATION,
    Kind.ACK: Topic.ACK,
    Kind.TRUST: Topic.TRUST,
}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1 << 31, 1 << 63, 1 << 64, 10**40, -(1 << 63), 0.5, -0.0, 1e308),
    *("", "\x00", "\x1b[2J", "\u202e", "\ud800", "A" * 5000, "192.168.1.0/24", "::/0", "fe80::%x"),
    *([], [[]], {}, {"": None}, [0] * 500, {"1": 1}, {"generation": 1}),
)


@dataclass(kw_only=True)
class Result:
    """What became of inputs of one kind; `growth` is in MB."""

    kind: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    growth: float = 0.0
    seconds: float = 0.0
    first: list[str] = field(default_factory=list)

    def note_crash(self, error: BaseException) -> None:
        """Count a crash; keep the first few of each place."""
        self.crashes += 1
        if len(self.first) < 5:
            self.first.append("".join(traceback.format_exception(error))[-2000:])


@dataclass(kw_only=True)
class Target:
    """A UVN with two cells: packages of two generations of the first, signing keys in base64."""

    first: bytes
    second: bytes
    keys: dict[int, str]
    sealing: str

    @cached_property
    def sign(self) -> dict[int, Callable[[bytes], bytes]]:
        """What signs as a node."""
        return {node: signer(key) for node, key in self.keys.items()}

    @cached_property
    def package(self) -> Package:
        """The package that runs."""
        return package_file.read(self.first)

    @property
    def identity(self) -> str:
        """The UVN's identity."""
        return self.package.plan.identity


def main() -> int:
    """Feed, print a table, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--statements", type=int, default=100_000, metavar="N")
    parser.add_argument("--packages", type=int, default=100_000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        target = make_target(Path(place))
        results = [
            feed_statements(target, asked.statements, seed=asked.seed),
            feed_packages(target, asked.packages, seed=asked.seed),
        ]
    columns = ("kind", "inputs", "accepted", "refused", "crashes", "growth", "seconds")
    print(*(f"{each:>12}" for each in columns))
    for result in results:
        found = asdict(result)
        shown = (
            f"{found[each]:.1f}" if each in {"growth", "seconds"} else found[each]
            for each in columns
        )
        print(*(f"{each:>12}" for each in shown))
        for text in result.first:
            print(text)
    if asked.json:
        asked.json.write_text(
            json.dumps({"seed": asked.seed, "results": list(map(asdict, results))})
        )
    return int(any(each.crashes or each.growth > GROWTH_LIMIT for each in results))


def make_target(place: Path) -> Target:
    """Define the UVN in an empty directory."""
    root = place / "uvn"
    package = root / "cells" / "net__a.uvn-agent"
    for words in (
        "define uvn net -o john@example.org -p secret -a registry.example.org",
        "define cell a -a a.example.org -N 192.168.1.0/24",
        "define cell b -N 192.168.2.0/24",
    ):
        define(root, words)
    first = package.read_bytes()
    define(root, "define cell c -N 192.168.3.0/24")
    store = Store(root / "registry.db")
    try:
        secrets = store.secrets()
    finally:
        store.close()
    keys = {REGISTRY: SIGNING, 1: cell_signing(1), 2: cell_signing(2)}
    return Target(
        first=first,
        second=package.read_bytes(),
        keys={node: b64encode(secrets[key].private).decode() for node, key in keys.items()},
        sealing=b64encode(secrets[cell_sealing(1)].public or b"").decode(),
    )


def define(root: Path, words: str) -> None:
    """Make a change of the registry with the command."""
    argv = [sys.executable, "-m", "uno", *words.split(), "-r", str(root)]
    # Tests run this in processor time that nothing else wants.
    command.run(argv, timeout=300)


def feed_statements(target: Target, count: int, *, seed: int) -> Result:
    """Have a cell and the registry receive statements, and show what they make of them."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, and protects nothing
    package = target.package
    members = {each.id: each for each in package.roster.members}
    flood = Flood(package)
    registry = Receiver(
        identity=package.plan.identity,
        registry_key=package.manifest.registry_key,
        members=members,
        since=0.0,
    )
    cells = {cell: ReleasedPackage(name=f"c{cell}", generation=2, content="x") for cell in members}
    rollout = Rollout(
        release=Release(generation=2, cells=cells),
        receiving_since=0.0,
        started_at=0.0,
        newest_generation=2,
    )
    bodies = {kind: encode(body) for kind, body in whole_bodies(target)}
    result, memory = Result(kind="statements"), Memory(count)
    for number in range(count):
        now = number / 1000
        envelope = statement(target, bodies, chance, sequence=1000 + number)
        before = flood.database.newest(Kind(envelope.kind), envelope.subject)
        try:
            event = Received(Channel(TOPICS[Kind(envelope.kind)]), envelope)
            flood.receive(event, now=now)
            flood.flood_due(awaiting_confirm=False, now=now)
            registry.receive(event, now=now)
            step(rollout, registry.observations(now=now), now=now)
            if number % 100 == 0:
                show(seen(flood, now))
        except Exception as error:  # noqa: BLE001 - each is a finding
            result.note_crash(error)
        after = flood.database.newest(Kind(envelope.kind), envelope.subject)
        result.accepted += after is not before
        memory.note(number)
    return memory.finish(result, count)


def feed_packages(target: Target, count: int, *, seed: int) -> Result:
    """Read altered packages, and open altered sealed ones."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, and protects nothing
    key, identity = target.package.secrets[cell_sealing(1)], target.package.plan.identity
    sealed = seal(target.second, public_key=target.sealing, identity=identity, cell=1)
    result, memory = Result(kind="packages"), Memory(count)
    for number in range(count):
        try:
            match number % 4:
                case 0:
                    unseal(altered(sealed, chance), private_key=key, identity=identity, cell=1)
                case 1:
                    package_file.read(altered(target.second, chance))
                case _:
                    package_file.read(signed_package(target, chance))
            result.accepted += 1
        except (PackageRejected, Untrusted):
            pass
        except Exception as error:  # noqa: BLE001 - each is a finding
            result.note_crash(error)
        memory.note(number)
    return memory.finish(result, count)


def whole_bodies(target: Target) -> Iterator[tuple[Kind, Any]]:
    """Yield a body of each kind with something in every field."""
    lan = network("192.168.2.0/24")
    yield (
        Kind.STATUS,
        CellStatus(
            generation=1,
            content="0123",
            staged=2,
            lans=(LanState(network=lan, interface="lan0"),),
            links=(
                LinkState(interface="uwg-b0", cell=2, handshake=3, bgp="Established", bfd="up"),
            ),
            paths=(PathState(cell=1, rtt=1.5, loss=0.1),),
            particles=(ParticleState(id=1, handshake=3),),
            reachable=(lan,),
            unreachable=(lan,),
            obstacles=("a rule",),
            pending=("remove uwg-b1",),
            problem="it is broken",
            proof=package_file.read_proof(target.second),
        ),
    )
    yield Kind.ACK, Ack(generation=2, phase=Phase.STAGED, running=1, reason="x", offer=7)
    yield (
        Kind.UVN,
        UvnAnnouncement(
            generation=2,
            cells={1: 2, 2: 2},
            unreachable_from_registry=(2,),
            unproven=(2,),
            version="1",
            rollout="staging",
            undone=3,
            reason="it failed",
        ),
    )
    yield (
        Kind.ACTIVATION,
        Activation(generation=2, cells={1: 2}, batches=(("1-2",),), hold=("1-3",)),
    )
    key = RegistryKey(key="A" * 44, follows="B" * 44, signature="C" * 88)
    revoked = (Revocation(id=9), Revocation(id=10, before=2))
    yield Kind.TRUST, TrustUpdate(registry_keys=(key,), cells=revoked, particles=revoked)


def statement(
    target: Target, bodies: dict[Kind, bytes], chance: random.Random, *, sequence: int
) -> Envelope:
    """Return a signed envelope with an altered body."""
    kind = chance.choice(list(bodies))
    subject = 2 if kind in {Kind.STATUS, Kind.ACK} else REGISTRY
    body = bodies[kind]
    if chance.random() < 0.7:
        body = json.dumps(with_odd_value(json.loads(body), chance)).encode()
    for _ in range(chance.choice((0, 0, 1))):
        body = altered(body, chance)
    if chance.random() < 0.01:
        body = chance.choice((b"[", b'{"cells":', b'{"batches":[')) * chance.randrange(1, 20_000)
    plain = Envelope(
        subject=subject, kind=kind, sequence=sequence, relayed_by=2, body=body, signature=b""
    )
    return signed(plain, identity=target.identity, sign=target.sign[subject])


def with_odd_value(value: Any, chance: random.Random) -> Any:
    """Return JSON with one value, somewhere in it, replaced by an odd one."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        return {**value, key: with_odd_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], with_odd_value(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def altered(content: bytes, chance: random.Random) -> bytes:
    """Return `content` with some bytes changed."""
    changed = bytearray(content)
    while changed == content:
        at = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                changed[at] ^= chance.randrange(1, 256)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 40))
            case _:
                del changed[at : at + chance.randrange(1, 40)]
    return bytes(changed)


def signed_package(target: Target, chance: random.Random) -> bytes:
    """Return a package of altered members that the registry has signed."""
    whole = target.package
    members = {
        "roster": encode(whole.roster),
        "particles": encode(list(whole.particles)),
        "plan": encode(whole.plan),
        "secrets": encode(whole.secrets),
    }
    chosen = chance.choice(list(members))
    body = json.dumps(with_odd_value(json.loads(members[chosen]), chance)).encode()
    members[chosen] = altered(body, chance) if chance.random() < 0.2 else body
    digests = {f"{name}.json": sha256(content).hexdigest() for name, content in members.items()}
    manifest = encode(replace(whole.manifest, digests=digests))
    entry, gzip = package_file._entry, package_file._gzip  # noqa: SLF001 - what `write` refuses
    head = entry("manifest.json", manifest) + entry("signature", target.sign[REGISTRY](manifest))
    parts = {name: entry(f"{name}.json", content) for name, content in members.items()}
    tail = parts["plan"] + parts["secrets"] + bytes(1024)
    return b"".join(map(gzip, (head, parts["roster"], parts["particles"], tail)))


def seen(flood: Flood, now: float) -> UvnView:
    """Return what a cell shows of the UVN."""
    announced = flood.database.registry_announcement() or UvnAnnouncement(generation=1)
    return view(flood.database, announced, uvn="net", viewer=1, registry=True, now=now)


def show(page: UvnView) -> None:
    """Render the status page, as a command does."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        Console(file=nowhere, width=80).print(renderable(page))


class Memory:
    """The resident memory of this process, from the first tenth of the inputs on."""

    def __init__(self, count: int) -> None:
        """Begin to feed so many inputs."""
        self._from = count // 10
        self._before = resident()
        self._began = monotonic()

    def note(self, number: int) -> None:
        """Note that an input was processed."""
        if number == self._from:
            self._before = resident()

    def finish(self, result: Result, count: int) -> Result:
        """Fill in what is known at the end."""
        gc.collect()
        result.inputs, result.growth = count, resident() - self._before
        result.refused = count - result.accepted - result.crashes
        result.seconds = monotonic() - self._began
        return result


def resident() -> float:
    """Return the resident memory of this process in MB (proc_pid_statm(5))."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
