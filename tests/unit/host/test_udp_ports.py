"""Which UDP ports other programs use."""

from __future__ import annotations

import socket

import pytest

from uno.diagnostics import ActionNeeded
from uno.host.udp_ports import require_free


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_another_program_uses_is_named(family: socket.AddressFamily) -> None:
    home = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((home, 0))
        port = other.getsockname()[1]

        with pytest.raises(ActionNeeded, match=f"UDP port {port}, which WireGuard needs, is used"):
            require_free((port,), purpose="WireGuard")

    require_free((port,), purpose="WireGuard")
