"""Which UDP ports other programs use."""

from __future__ import annotations

import socket

import pytest

from uno.diagnostics import ActionNeeded
from uno.host.udp_ports import require_free
from uno.model.listening_ports import Transport


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_another_program_uses_is_named(family: socket.AddressFamily) -> None:
    home = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((home, 0))
        port = other.getsockname()[1]

        with pytest.raises(ActionNeeded, match=f"UDP port {port}, which WireGuard needs, is used"):
            require_free((port,), purpose="WireGuard")

    require_free((port,), purpose="WireGuard")


def test_all_ports_that_others_use_are_named_at_once() -> None:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    try:
        for each in sockets:
            each.bind(("", 0))
        one, free, other = (each.getsockname()[1] for each in sockets)
        sockets[1].close()

        with pytest.raises(ActionNeeded) as caught:
            require_free((one, free, other), purpose="WireGuard")
    finally:
        for each in sockets:
            each.close()

    assert caught.value.what == (
        f"UDP ports {one}, {other}, which WireGuard needs, are used by another program on this host"
    )
    assert f"ss -lnup 'sport = :{one} or sport = :{other}'" in caught.value.hint


def test_a_tcp_port_is_free_once_nobody_listens_though_a_connection_has_just_ended() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ActionNeeded, match=f"TCP port {port}, which the bus needs, is used"):
            require_free((port,), purpose="the bus", protocol=Transport.TCP)
        with socket.create_connection(("127.0.0.1", port)):
            # The end that closes first keeps the port (RFC 9293, TIME-WAIT).
            listener.accept()[0].close()

    require_free((port,), purpose="the bus", protocol=Transport.TCP)
