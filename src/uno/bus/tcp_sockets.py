"""TCP sockets of the bus, and what their errors mean. Source: tcp(7), socket(7)."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

from uno.bus.calls import CallFailure
from uno.bus.liveness import PATH_TIMEOUT
from uno.bus.session import no_address
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.ports.bus import tcp_port

if TYPE_CHECKING:
    from uno.ports.bus import BusConfig

# Octets that wait in the kernel unsent: so many at most are ahead of a small message.
_UNSENT: Final = 16 << 10
# Links carry at least 1280 bytes (RFC 8200, section 5), of which 40 are IPv4's and TCP's headers.
_SEGMENT: Final = 1280 - 40
_QUEUED: Final = 64
_NOTSENT_LOWAT: Final = 25  # linux/tcp.h; Python has it from 3.12 on


def listener(config: BusConfig) -> socket.socket:
    """Return a socket that listens at the node's address. Raises `UnoError`."""
    port = tcp_port(config.domain, config.index)
    found = made()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((str(config.address), port))
        found.listen(_QUEUED)
    except OSError as error:
        found.close()
        raise _cannot_listen(config, port, error) from error
    return found


def _cannot_listen(config: BusConfig, port: int, error: OSError) -> UnoError:
    if error.errno == errno.EADDRNOTAVAIL:
        return no_address(config)
    if error.errno == errno.EADDRINUSE:
        return ActionNeeded(
            f"the bus cannot be joined: TCP port {port} is in use on this host",
            f"find the process with: ss -lntp 'sport = :{port}'; it may be another agent of the"
            " UVN, or one of another UVN with the same dds_domain",
        )
    return TransientFailure(f"the bus cannot be joined: {error.strerror}")


def made() -> socket.socket:
    """Return a socket that does not block. Raises `OSError`."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tune(found)
    return found


def tune(connection: socket.socket) -> None:
    """Set what tcp(7) has for small messages, and for paths that may end."""
    connection.settimeout(0)
    options = {
        socket.TCP_NODELAY: 1,
        socket.TCP_USER_TIMEOUT: int(PATH_TIMEOUT * 1000),
        socket.TCP_MAXSEG: _SEGMENT,
        _NOTSENT_LOWAT: _UNSENT,
    }
    for option, value in options.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def unacknowledged(connection: socket.socket) -> int:
    """Return the octets in the send queue (SIOCOUTQ in tcp(7)), which is TIOCOUTQ."""
    (found,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return int(found)


def cause(error: int) -> CallFailure:
    """Return why a call has failed, from its errno(3)."""
    if error in {errno.ECONNREFUSED, errno.ECONNRESET}:
        return CallFailure.REFUSED
    return CallFailure.SILENT if error == errno.ETIMEDOUT else CallFailure.NO_ROUTE
