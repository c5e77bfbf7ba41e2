"""The configuration protocol of userspace WireGuard, over its UNIX socket.

Source: WireGuard's Cross-Platform Userspace Implementation page (configuration protocol). `wg` does
the same, but is a program to start.
"""

from __future__ import annotations

import re
import socket
import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

from uno.host.socket_timeout import EXPIRED, limit_calls
from uno.model.key_ids import Secret
from uno.model.net import network, network_order
from uno.model.tunnel import Peer
from uno.ports.host import PeerStatus

SOCKETS = Path("/var/run/wireguard")

# Seconds to wait for a process that hangs.
_TIMEOUT = 5.0
_ZERO = "0" * 64

# Settings that change without a change of configuration.
_CHANGING = re.compile(
    rb"^(?:endpoint|last_handshake_time|rx_bytes|tx_bytes|errno)[^\n]*\n", re.MULTILINE
)
_REQUEST = b"get=1\n\n"


def answers(name: str) -> bool:
    """Whether a process serves the interface of this name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            one.connect(_path(name))
        except OSError:
            return False
    return True


def query(name: str) -> list[tuple[str, str]] | None:
    """Return the settings of an interface in the order received, or None without a response."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(_TIMEOUT)
        try:
            one.connect(_path(name))
            response = _exchange(one)
        except OSError:
            return None
    return _pairs(response)


def configured(response: bytes) -> tuple[bytes, ...]:
    """Return the settings in a response that neither packets nor roaming change.

    The interface's own come first, then those of each peer. wireguard-go returns peers in any
    order.
    """
    own, *peers = _CHANGING.sub(b"", response).split(b"public_key=")
    # The last one is followed by the end of the response.
    return (own, *sorted(each.rstrip(b"\n") for each in peers))


def peer_status(response: bytes) -> tuple[PeerStatus, ...]:
    """Return how the peers in a response are, sorted by key."""
    _, *sections = response.split(b"public_key=")
    found = (_peer_status(dict(_pairs(b"public_key=" + each))) for each in sections)
    return tuple(sorted(found, key=lambda each: each.public_key))


class SocketReader:
    """Reads the settings of interfaces again and again, over connections that it keeps."""

    def __init__(self) -> None:
        """Connect to an interface's process when it is first read."""
        self._connections: dict[str, socket.socket] = {}
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Close the connections: commands and labs use a host for a moment."""
        self.retain(())

    def read(self, name: str) -> bytes | None:
        """Return the response with the settings of an interface, None without one."""
        return self.read_all((name,))[name]

    def read_all(self, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return the response of each of these interfaces, None of those without one.

        All are requested before the first is read, so that this process waits once, not for each.
        """
        with self._lock:
            requested = [(name, self._request(name)) for name in names]
            return {name: self._response(name, is_new=is_new) for name, is_new in requested}

    def _request(self, name: str) -> bool | None:
        """Request the settings; return whether the connection is new, None without a process."""
        # The process may have ended, and another have the interface's name.
        for _ in range(2):
            is_new = name not in self._connections
            try:
                self._connected(name).sendall(_REQUEST)
            except OSError:
                self.forget(name)
                if is_new:
                    break
            else:
                return is_new
        return None

    def _response(self, name: str, *, is_new: bool | None) -> bytes | None:
        """Return the response to a request, None without one."""
        while is_new is not None:
            try:
                return _response(self._connections[name])
            except OSError as error:
                self.forget(name)
                if is_new or isinstance(error, EXPIRED):
                    break
                is_new = self._request(name)
        return None

    def forget(self, name: str) -> None:
        """Close the connection to an interface's process, if there is one."""
        if name in self._connections:
            self._connections.pop(name).close()

    def retain(self, names: Iterable[str]) -> None:
        """Close the connections to all other interfaces."""
        for name in self._connections.keys() - set(names):
            self.forget(name)

    def _connected(self, name: str) -> socket.socket:
        if name not in self._connections:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connections[name] = one
            limit_calls(one, _TIMEOUT)
            one.connect(_path(name))
        return self._connections[name]


def _exchange(one: socket.socket) -> bytes:
    """Return the response to a request for all settings. Raises OSError without one."""
    one.sendall(_REQUEST)
    return _response(one)


def _response(one: socket.socket) -> bytes:
    response = b""
    # It ends with an empty line.
    while not response.endswith(b"\n\n"):
        part = one.recv(1 << 16)
        if not part:
            raise ConnectionResetError("the process closed the connection")
        response += part
    return response


def interface(settings: list[tuple[str, str]]) -> tuple[Secret, int, int]:
    """Return the private key, the port and the mark of an interface."""
    own = dict(_sections(settings)[0])
    key = Secret(_base64(own.get("private_key", _ZERO)))
    return key, int(own.get("listen_port", "0")), int(own.get("fwmark", "0"))


def peers(settings: list[tuple[str, str]]) -> tuple[tuple[Peer, PeerStatus], ...]:
    """Return the peers of an interface, sorted by key, and how they are."""
    found = (_peer(section) for section in _sections(settings)[1:])
    return tuple(sorted(found, key=lambda each: each[0].public_key))


def _peer(section: list[tuple[str, str]]) -> tuple[Peer, PeerStatus]:
    settings = dict(section)
    key, psk = _base64(settings["public_key"]), settings.get("preshared_key", _ZERO)
    networks = (network(value) for name, value in section if name == "allowed_ip")
    peer = Peer(
        public_key=key,
        psk=None if psk == _ZERO else Secret(_base64(psk)),
        endpoint=settings.get("endpoint"),
        allowed_ips=tuple(sorted(networks, key=network_order)),
        keepalive=int(settings.get("persistent_keepalive_interval", "0")),
    )
    return peer, _peer_status(settings)


def _peer_status(settings: Mapping[str, str]) -> PeerStatus:
    return PeerStatus(
        public_key=_base64(settings["public_key"]),
        endpoint=settings.get("endpoint"),
        handshake=int(settings.get("last_handshake_time_sec", "0")),
        received=int(settings.get("rx_bytes", "0")),
        sent=int(settings.get("tx_bytes", "0")),
    )


def _pairs(response: bytes) -> list[tuple[str, str]]:
    lines = (line.partition("=") for line in response.decode(errors="replace").splitlines() if line)
    return [(key, value) for key, _, value in lines]


def _sections(settings: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Return the interface's own settings, and those of each peer."""
    sections: list[list[tuple[str, str]]] = [[]]
    for pair in settings:
        if pair[0] == "public_key":
            sections.append([])
        sections[-1].append(pair)
    return sections


def _base64(digits: str) -> str:
    return b64encode(bytes.fromhex(digits)).decode()


def _path(name: str) -> str:
    return str(SOCKETS / f"{name}.sock")
