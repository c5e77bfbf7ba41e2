"""Commands to FRR's daemons over their vty sockets, as vtysh sends them, in a fraction of its time.

A command ends with a NUL byte. The response is text, then three NUL bytes and a status byte
(lib/vty.c in FRR, `vty_event` of a VTY_SHELL_SERV).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from uno.diagnostics import TransientFailure
from uno.host.socket_timeout import EXPIRED, limit_calls
from uno.ports.host import SessionStatus

_END = b"\0\0\0"
_SUCCESS = 0


def query(folder: Path, daemon: str, command: str) -> str:
    """Return the output of a command in enable mode. Raises OSError without a response."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        one.connect(str(folder / f"{daemon}.vty"))
        _exchange(one, "enable")
        return _exchange(one, command)


class VtyConnection:
    """A connection to a daemon that is kept, for a command that is sent again and again."""

    def __init__(self, path: Path) -> None:
        """Connect to the socket at `path` when it is first used."""
        self.path = path
        self._socket: socket.socket | None = None
        self.lock = threading.Lock()

    def __del__(self) -> None:
        """Close the connection: commands and labs use a host for a moment."""
        self.close()

    def query(self, command: str) -> bytes | None:
        """Return the output of a command in enable mode, None without a response."""
        return query_all(((self, command),))[0]

    def send(self, command: str) -> bool | None:
        """Send a command; return whether the connection is new for it, None without a daemon.

        The caller has the `lock`.
        """
        # The daemon may have ended, and another listen there.
        for _ in range(2):
            is_new = self._socket is None
            try:
                self._connected().sendall(command.encode() + b"\0")
            except OSError:
                self.close()
                if is_new:
                    break
            else:
                return is_new
        return None

    def output(self, command: str, *, is_new: bool | None) -> bytes | None:
        """Return the output of the command that was sent, as `send` returned; None without one."""
        while is_new is not None and self._socket is not None:
            try:
                (output, _), *_ = _responses(self._socket, 1)
            except OSError as error:
                self.close()
                if is_new or isinstance(error, EXPIRED):
                    break
                is_new = self.send(command)
            else:
                return output
        return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            limit_calls(self._socket, 5)
            self._socket.connect(str(self.path))
            _exchange(self._socket, "enable")
        return self._socket


def query_all(queries: Sequence[tuple[VtyConnection, str]]) -> tuple[bytes | None, ...]:
    """Return the output of a command of each daemon in enable mode, None without a response.

    All are sent before the first output is read, so that this process waits once, not for each.
    """
    with ExitStack() as locked:
        # In one order, so that no two threads wait for each other.
        for each, _ in sorted(queries, key=lambda query: query[0].path):
            locked.enter_context(each.lock)
        sent = [(each, command, each.send(command)) for each, command in queries]
        return tuple(each.output(command, is_new=is_new) for each, command, is_new in sent)


def configure(folder: Path, daemon: str, steps: Iterable[tuple[str, ...]]) -> None:
    """Run the commands of each step in a daemon's configuration mode.

    A step is one write: the daemon runs what fits into one of its reads (512 bytes, VTY_READ_BUFSIZ
    in lib/vty.h) before it handles any other event. Raises `UnoError` with the command that was
    refused, OSError without a response.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(10)
        one.connect(str(folder / f"{daemon}.vty"))
        for step in (("enable", "configure terminal"), *steps):
            one.sendall(b"".join(command.encode() + b"\0" for command in step))
            for command, (output, status) in zip(step, _responses(one, len(step)), strict=True):
                if status != _SUCCESS:
                    said = output.decode(errors="replace").strip()
                    raise TransientFailure(f"FRR's {daemon} refused `{command}`: {said}")


def sessions(bgpd: VtyConnection, bfdd: VtyConnection) -> tuple[SessionStatus, ...]:
    """Return bgpd's sessions, each with the state of its BFD session in bfdd.

    None where one of the two does not answer, or answers with something else: a daemon that starts
    or ends does.
    """
    summary_text, bfd_text = bgpd.query("show bgp summary json"), bfdd.query("show bfd peers json")
    if summary_text is None or bfd_text is None:
        return ()
    try:
        summary = msgspec.json.decode(summary_text or b"{}", type=_Summary)
        peers = msgspec.json.decode(bfd_text or b"[]", type=list[_BfdPeer])
    except msgspec.DecodeError:
        return ()
    bfd = {each.peer: each.status for each in peers}
    neighbors: dict[str, SessionStatus] = {}
    for family in (summary.ipv4, summary.ipv6):
        for name, peer in family.peers.items():
            before = neighbors[name].prefixes if name in neighbors else 0
            neighbors[name] = SessionStatus(
                neighbor=name,
                state=peer.state,
                prefixes=before + peer.received,
                bfd=bfd.get(name, "none"),
                flaps=peer.dropped,
            )
    return tuple(neighbors[name] for name in sorted(neighbors))


class _BgpPeer(msgspec.Struct):
    state: str = "unknown"
    received: int = msgspec.field(default=0, name="pfxRcd")
    dropped: int | None = msgspec.field(default=None, name="connectionsDropped")


class _Family(msgspec.Struct):
    peers: dict[str, _BgpPeer] = {}


class _Summary(msgspec.Struct):
    ipv4: _Family = msgspec.field(default_factory=_Family, name="ipv4Unicast")
    ipv6: _Family = msgspec.field(default_factory=_Family, name="ipv6Unicast")


class _BfdPeer(msgspec.Struct):
    peer: str
    status: str = "unknown"


def _responses(one: socket.socket, count: int) -> Iterator[tuple[bytes, int]]:
    """Yield output and status of so many commands."""
    output = b""
    for _ in range(count):
        while (end := output.find(_END)) < 0 or len(output) < end + 4:
            part = one.recv(65536)
            if not part:
                raise ConnectionResetError("the daemon closed the connection")
            output += part
        yield output[:end], output[end + 3]
        output = output[end + 4 :]


def _exchange(one: socket.socket, command: str) -> str:
    return _raw_exchange(one, command).decode(errors="replace")


def _raw_exchange(one: socket.socket, command: str) -> bytes:
    one.sendall(command.encode() + b"\0")
    (output, _), *_ = _responses(one, 1)
    return output
