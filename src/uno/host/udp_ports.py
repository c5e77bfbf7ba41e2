"""Ports of this host that other programs use."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from uno.diagnostics import ActionNeeded
from uno.model.listening_ports import Transport

_KIND = {Transport.UDP: socket.SOCK_DGRAM, Transport.TCP: socket.SOCK_STREAM}
# Of ss(8).
_OPTION = {Transport.UDP: "u", Transport.TCP: "t"}


def require_free(
    ports: Iterable[int], *, purpose: str, protocol: Transport = Transport.UDP
) -> None:
    """Raise ActionNeeded with those of the ports that are in use; `purpose` is for people."""
    used = taken(ports, protocol=protocol)
    if not used:
        return
    is_one = len(used) == 1
    raise ActionNeeded(
        f"{protocol.name} port{'' if is_one else 's'} {', '.join(map(str, used))}, which {purpose}"
        f" needs, {'is' if is_one else 'are'} used by another program on this host",
        f"choose {'another port' if is_one else 'other ports'}, or end that program:"
        f" ss -ln{_OPTION[protocol]}p '{' or '.join(f'sport = :{port}' for port in used)}'",
    )


def taken(ports: Iterable[int], *, protocol: Transport = Transport.UDP) -> tuple[int, ...]:
    """Return those of these ports that are in use."""
    families, kind = (socket.AF_INET, socket.AF_INET6), _KIND[protocol]
    return tuple(
        port for port in ports if not all(_is_free(family, kind, port) for family in families)
    )


def _is_free(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> bool:
    """Whether the port can be bound; also if the host does not have this family."""
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Connections that have ended keep the port for a minute, and nobody from listening.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("", port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
