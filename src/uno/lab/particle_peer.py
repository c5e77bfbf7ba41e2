"""A particle's side: from the package to a WireGuard interface that carries everything.

What wg-quick(8) does for such a file, without its changes to DNS: all traffic goes into the tunnel
by a routing table of its own, and the tunnel's own packets are kept out of it by a mark.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uno.diagnostics import ActionNeeded
from uno.lab.node import Node

INTERFACE = "wg0"
_TABLE = 51820
# What wg(8) itself understands of an [Interface]; the rest is wg-quick's.
_FOR_WG = {"privatekey", "listenport", "fwmark"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleTunnel:
    """A particle's file taken apart: what `wg setconf` reads, and what it does not."""

    for_wg: str
    addresses: tuple[str, ...]
    mtu: int | None = None

    def __repr__(self) -> str:
        return f"ParticleTunnel({', '.join(self.addresses)})"


def tunnels(package: Path) -> Mapping[str, ParticleTunnel]:
    """Read a particle's package: the tunnel to each cell, by the cell's name. Raises `UnoError`."""
    try:
        with zipfile.ZipFile(package) as archive:
            texts = {
                entry.comment.decode(): archive.read(entry).decode()
                for entry in archive.infolist()
                if entry.filename.endswith(".conf")
            }
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ActionNeeded(f"the particle's package {package} cannot be read: {error}") from error
    return {cell: parse(text) for cell, text in texts.items()}


def parse(text: str) -> ParticleTunnel:
    """Take a file for wg-quick(8) apart."""
    kept: list[str] = []
    addresses: list[str] = []
    mtu: int | None = None
    section = ""
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("#")[0].partition("="))
        if heading := re.fullmatch(r"\[(\w+)\]", key):
            section = heading[1].lower()
        if section != "interface" or heading or key.lower() in _FOR_WG:
            kept.append(line)
        elif key.lower() == "address":
            addresses += [item.strip() for item in value.split(",")]
        elif key.lower() == "mtu":
            mtu = int(value)
    return ParticleTunnel(for_wg="\n".join(kept) + "\n", addresses=tuple(addresses), mtu=mtu)


@contextmanager
def connected(node: Node, tunnel: ParticleTunnel) -> Iterator[None]:
    """Have a particle's tunnel up for the length of a block."""
    connect(node, tunnel)
    try:
        yield
    finally:
        disconnect(node)


def connect(node: Node, tunnel: ParticleTunnel) -> None:
    """Bring a tunnel up; everything that the node sends goes into it."""
    # The daemon keeps its output open, so it must not be ours.
    node.run(
        ["sh", "-c", f"ip link add {INTERFACE} type wireguard 2>&- || {_USERSPACE}"],
        env={"LOG_LEVEL": "error"},
    )
    node.run(["wg", "setconf", INTERFACE, "/proc/self/fd/0"], stdin=tunnel.for_wg)
    node.run(["wg", "set", INTERFACE, "fwmark", str(_TABLE)])
    mtu = f" mtu {tunnel.mtu}" if tunnel.mtu else ""
    lines = [f"addr add {item} dev {INTERFACE}" for item in tunnel.addresses]
    lines.append(f"link set {INTERFACE}{mtu} up")
    node.run(["ip", "-batch", "-"], stdin=_lines(lines))
    for family in ("-4", "-6"):
        steer = [f"route add default dev {INTERFACE} table {_TABLE}", *_rules("add")]
        node.run(["ip", family, "-batch", "-"], stdin=_lines(steer))


def disconnect(node: Node) -> None:
    """Take the tunnel down, and leave nothing of it."""
    for family in ("-4", "-6"):
        node.run(["ip", family, "-force", "-batch", "-"], stdin=_lines(_rules("del")), check=False)
    node.run(["ip", "link", "del", INTERFACE])
    # wireguard-go ends once its interface is gone. Until then another does not start.
    node.run(["sh", "-c", _AWAIT_END], timeout=30)


_AWAIT_END = f"while [ -S /run/wireguard/{INTERFACE}.sock ]; do sleep 0.02; done"
_USERSPACE = f"wireguard-go {INTERFACE} >/dev/null 2>&1"


def _rules(verb: str) -> list[str]:
    # Routes of the main table that are not the default one still hold: the gateway's own network.
    return [
        f"rule {verb} not fwmark {_TABLE} table {_TABLE}",
        f"rule {verb} table main suppress_prefixlength 0",
    ]


def _lines(commands: list[str]) -> str:
    return "".join(f"{command}\n" for command in commands)
