"""Asking FRR's daemons through their sockets, as vtysh does, in a fraction of its time.

A command ends with a NUL byte. The answer is text, then three NUL bytes and a status byte
(lib/vty.c in FRR, `vty_event` of a VTY_SHELL_SERV).
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from uno.ports.host import SessionStatus


def ask(folder: Path, daemon: str, command: str) -> str:
    """Return what a daemon answers in its enable mode. Raises OSError where it does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        one.connect(str(folder / f"{daemon}.vty"))
        _exchange(one, "enable")
        return _exchange(one, command)


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


def _exchange(one: socket.socket, command: str) -> str:
    one.sendall(command.encode() + b"\0")
    answer = b""
    while len(answer) < 4 or answer[-4:-1] != b"\0\0\0":
        part = one.recv(65536)
        if not part:
            raise ConnectionResetError("the daemon closed the connection")
        answer += part
    return answer[:-4].decode(errors="replace")


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}
