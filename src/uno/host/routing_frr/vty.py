"""Asking FRR's daemons through their sockets, as vtysh does, in a fraction of its time.

A command ends with a NUL byte. The answer is text, then three NUL bytes and a status byte
(lib/vty.c in FRR, `vty_event` of a VTY_SHELL_SERV).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from uno.diagnostics import TransientFailure
from uno.ports.host import SessionStatus

_END = b"\0\0\0"
_SUCCESS = 0


def ask(folder: Path, daemon: str, command: str) -> str:
    """Return what a daemon answers in its enable mode. Raises OSError where it does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        one.connect(str(folder / f"{daemon}.vty"))
        _exchange(one, "enable")
        return _exchange(one, command)


def configure(folder: Path, daemon: str, steps: Iterable[tuple[str, ...]]) -> None:
    """Have a daemon do the commands of each step, in its configuration mode.

    A step is sent in one go: what fits into one read of the daemon's (512 bytes, VTY_READ_BUFSIZ in
    lib/vty.h) it does before it looks at anything else. Raises `UnoError` with what was refused,
    OSError where the daemon does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(10)
        one.connect(str(folder / f"{daemon}.vty"))
        for step in (("enable", "configure terminal"), *steps):
            one.sendall(b"".join(command.encode() + b"\0" for command in step))
            for command, (said, status) in zip(step, _answers(one, len(step)), strict=True):
                if status != _SUCCESS:
                    raise TransientFailure(
                        f"FRR's {daemon} does not take `{command}`: {said.strip()}"
                    )


def sessions(folder: Path) -> tuple[SessionStatus, ...]:
    """Return bgpd's sessions with what bfdd says of each neighbour. Raises OSError."""
    summary = _object(ask(folder, "bgpd", "show bgp summary json"))
    bfd = {
        peer["peer"]: peer.get("status", "unknown")
        for peer in json.loads(ask(folder, "bfdd", "show bfd peers json") or "[]")
    }
    neighbors: dict[str, SessionStatus] = {}
    for family in ("ipv4Unicast", "ipv6Unicast"):
        for name, peer in summary.get(family, {}).get("peers", {}).items():
            before = neighbors[name].prefixes if name in neighbors else 0
            neighbors[name] = SessionStatus(
                neighbor=name,
                state=peer.get("state", "unknown"),
                prefixes=before + peer.get("pfxRcd", 0),
                bfd=bfd.get(name, "none"),
            )
    return tuple(neighbors[name] for name in sorted(neighbors))


def _answers(one: socket.socket, count: int) -> Iterator[tuple[str, int]]:
    """Yield the answers to so many commands, each with its status."""
    said = b""
    for _ in range(count):
        while (end := said.find(_END)) < 0 or len(said) < end + 4:
            part = one.recv(65536)
            if not part:
                raise ConnectionResetError("the daemon closed the connection")
            said += part
        yield said[:end].decode(errors="replace"), said[end + 3]
        said = said[end + 4 :]


def _exchange(one: socket.socket, command: str) -> str:
    one.sendall(command.encode() + b"\0")
    (said, _), *_ = _answers(one, 1)
    return said


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}
