"""UDP ports of this host that other programs use."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from uno.diagnostics import ActionNeeded


def require_free(ports: Iterable[int], *, purpose: str) -> None:
    """Raise ActionNeeded with those of the ports that are in use; `purpose` is for people."""
    used = taken(ports)
    if not used:
        return
    is_one = len(used) == 1
    raise ActionNeeded(
        f"UDP port{'' if is_one else 's'} {', '.join(map(str, used))}, which {purpose} needs,"
        f" {'is' if is_one else 'are'} used by another program on this host",
        f"choose {'another port' if is_one else 'other ports'}, or end that program:"
        f" ss -lnup '{' or '.join(f'sport = :{port}' for port in used)}'",
    )


def taken(ports: Iterable[int]) -> tuple[int, ...]:
    """Return those of these ports that are in use."""
    families = (socket.AF_INET, socket.AF_INET6)
    return tuple(port for port in ports if not all(_is_free(family, port) for family in families))


def _is_free(family: socket.AddressFamily, port: int) -> bool:
    """Whether the port can be bound; also if the host does not have this family."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("", port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
