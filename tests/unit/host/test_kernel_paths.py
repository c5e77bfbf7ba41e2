"""Where the kernel sends packets, as it shows any user."""

from __future__ import annotations

from ipaddress import IPv4Address

from uno.host.kernel_paths import kernel_path
from uno.ports.host import KernelPath

LOCAL = IPv4Address("127.0.0.1")


def test_the_interface_and_the_table_of_a_route_are_found() -> None:
    found = kernel_path(LOCAL, source=LOCAL, nic=None)

    assert found == KernelPath(interface="lo", table=255)


def test_a_packet_from_an_interface_that_has_gone_has_no_path() -> None:
    assert kernel_path(LOCAL, source=LOCAL, nic="gone0") is None
