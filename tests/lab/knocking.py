"""Datagrams and TCP calls to ports that have a listener at every address of a node."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from watching import pause

from uno.lab import netns
from uno.lab.node import Node

MARK = b"knock"


def is_received(
    listener: Node,
    sender: Node,
    address: str,
    port: int,
    *,
    source: str | None = None,
    tcp: bool = False,
) -> bool:
    """Whether what is sent to an address and port of a node gets to one who is bound to all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with netns.socket_in(listener.namespace, family, kind) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.bind(("", port))
        if tcp:
            receiver.listen()
        for _ in range(3):
            if tcp and not _calls(sender, address, port, source=source):
                continue
            if not tcp:
                knock(sender, address, port, source=source)
            if select.select([receiver], [], [], 0.3)[0]:
                return tcp or receiver.recv(64) == MARK
    return False


def _calls(sender: Node, address: str, port: int, *, source: str | None) -> bool:
    """Whether a TCP connection is accepted."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.socket_in(sender.namespace, family, socket.SOCK_STREAM) as hand:
        if source:
            hand.bind((source, 0))
        hand.settimeout(0.4)
        try:
            hand.connect((address, port))
        except OSError:
            return False
    return True


def knock(sender: Node, address: str, port: int, *, source: str | None = None) -> OSError | None:
    """Send a datagram; return the error that the sender receives, if any."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.socket_in(sender.namespace, family, socket.SOCK_DGRAM) as hand:
        if source:
            hand.bind((source, 0))
        try:
            hand.sendto(MARK, (address, port))
        except OSError as error:
            return error
        with suppress(BlockingIOError):
            hand.recv(1)
        pause(0.01)
    return None
