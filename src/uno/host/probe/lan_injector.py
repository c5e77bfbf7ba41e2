"""Has this host receive packets on an interface, as from a host of the LAN there.

A TAP interface whose packets tc(8) redirects into the ingress of the LAN's interface
(tc-mirred(8)). From there on the kernel treats them as received: every hook, filter, rule and
reverse path filter sees the LAN's interface. The LAN's interface itself is not changed, and the TAP
interface goes with this process (Documentation/networking/tuntap.rst in Linux).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import suppress

from uno.diagnostics import ActionNeeded, UnoError
from uno.host import sysctl
from uno.host.command import run

PATTERN = "uno-f%d"
"""The names of the TAP interfaces; the kernel chooses the number."""

_DEVICE = "/dev/net/tun"
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_REQUEST = struct.Struct("=16sH22x")

# linux/sockios.h. In struct ifreq the address comes after the name, and the address's family.
_SIOCGIFHWADDR = 0x8927
_ADDRESS = slice(18, 24)

_ETHERTYPE = {4: b"\x08\x00", 6: b"\x86\xdd"}
# A locally administered address (IEEE 802, 8.4): nothing is ever sent to it.
_FROM = bytes.fromhex("020000000001")


class LanInjector:
    """Injects packets on one interface. Must be closed."""

    def __init__(self, interface: str, *, alias: str) -> None:
        """Make ready to inject on `interface`; the TAP interface gets the alias.

        Raises `UnoError` where the host has no TAP interfaces, or no tc-mirred(8).
        """
        self.index = _index(interface)
        self._interface = interface
        self._tap, self.name = _open_tap()
        try:
            self._configure(alias)
        except BaseException:
            self.close()
            raise

    @property
    def is_current(self) -> bool:
        """Whether the interface is still the one that this was made for, and not one after it."""
        return self.index == _index(self._interface)

    def inject(self, packet: bytes) -> bool:
        """Have the host receive an IP packet; return whether that was possible."""
        frame = self._to + _FROM + _ETHERTYPE[packet[0] >> 4] + packet
        try:
            return os.write(self._tap, frame) == len(frame)
        except OSError:
            return False

    def close(self) -> None:
        """Remove the TAP interface."""
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1

    def _configure(self, alias: str) -> None:
        disabled = f"net.ipv6.conf.{self.name}.disable_ipv6"
        with suppress(UnoError):
            # Or the kernel sends router solicitations.
            if sysctl.exists(disabled):
                sysctl.write(disabled, "1")
        run(["ip", "link", "set", "dev", self.name, "alias", alias, "up"])
        redirect = f"action mirred ingress redirect dev {self._interface}"
        lines = (
            f"qdisc add dev {self.name} clsact",
            f"filter add dev {self.name} ingress protocol all prio 1 u32 match u32 0 0 {redirect}",
        )
        done = run(["tc", "-batch", "-"], stdin="\n".join(lines) + "\n", check=False)
        if done.status != 0:
            reason = next(iter(done.stderr.strip().splitlines()), "no output")
            raise ActionNeeded(
                f"tc cannot redirect packets to {self._interface} ({reason})",
                "load the kernel modules sch_ingress, cls_u32 and act_mirred",
            )
        request = fcntl.ioctl(self._tap, _SIOCGIFHWADDR, bytes(_REQUEST.size))
        self._to = request[_ADDRESS]


def _open_tap() -> tuple[int, str]:
    try:
        tap = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ActionNeeded(
            f"this host gives no {_DEVICE} ({error.strerror})",
            "load the kernel module tun; in a container, give it the device and CAP_NET_ADMIN",
        ) from error
    try:
        wanted = _REQUEST.pack(PATTERN.encode(), _IFF_TAP | _IFF_NO_PI)
        found = fcntl.ioctl(tap, _TUNSETIFF, wanted)
    except OSError as error:
        os.close(tap)
        raise ActionNeeded(
            f"cannot create a TAP interface ({error.strerror})",
            "uno needs to be root; in a container, give it CAP_NET_ADMIN",
        ) from error
    return tap, found[:16].rstrip(b"\0").decode()


def _index(interface: str) -> int | None:
    """Return the index of an interface; one of the same name that follows it has another."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return None
