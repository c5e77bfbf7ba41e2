"""Takes forwarding probes out of the kernel where it would send them to a LAN.

An nftables table of its own, whose chain comes after those of all others at the last hook that a
forwarded packet passes (postrouting), logs the probes to this process and drops them: no host of
the LAN receives one. The rule compares the body with the UVN's mark, of 64 bits. Sources: nft(8),
"Log statement"; linux/netfilter/nfnetlink_log.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from uno.diagnostics import ActionNeeded, TransientFailure
from uno.host.firewall import nft
from uno.host.netlink import rtnetlink
from uno.host.probe.probe_packet import SNAP_LENGTH
from uno.render.nftables import PROBE_TABLE

GROUP = 30062
"""The number of the log group; a process of another cell or program may have it on a host."""

# After all but the kernel's own at postrouting, which confirm tracked connections.
_PRIORITY = 2147483000
# More arrive from other cells only if someone floods this one.
_LIMIT = "limit rate 1000/second burst 1000 packets"

# linux/netfilter/nfnetlink.h, nfnetlink_log.h
_NETFILTER = 12
_SUBSYSTEM, _PACKET, _CONFIG = 4, 0, 1
_CFG_CMD, _CFG_MODE = 1, 2
_CMD_BIND, _COPY_PACKET = 1, 2
_OUTPUT, _PAYLOAD = 5, 9
_FAMILY = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_HEADER = struct.Struct("=IHHII")
_REQUEST_ACK = 0x1 | 0x4
_PART = 1 << 16


def ruleset(interfaces: tuple[str, ...], mark: bytes) -> str:
    """Return the table that takes probes with this mark on their way into the interfaces."""
    names = ", ".join(f'"{each}"' for each in interfaces)
    value = f"0x{mark.hex()}"
    return f"""\
table inet {PROBE_TABLE} {{
  chain postrouting {{
    type filter hook postrouting priority {_PRIORITY}; policy accept;
    oifname != {{ {names} }} accept
    icmp type {{ echo-request, echo-reply }} @th,64,64 {value} goto probes
    icmpv6 type {{ echo-request, echo-reply }} @th,64,64 {value} goto probes
  }}
  chain probes {{
    {_LIMIT} log group {GROUP} snaplen {SNAP_LENGTH} queue-threshold 1
    drop
  }}
}}
"""


class ProbeCapture:
    """Receives the probes that this host would send to a LAN. Must be closed."""

    def __init__(self, mark: bytes) -> None:
        """Receive those with this mark. Raises `UnoError` where another process does."""
        self._mark = mark
        self._generation: bytes | None = None
        self._set: tuple[str, str | None] | None = None
        self.socket = _bound()

    def follow(self, interfaces: tuple[str, ...]) -> bool:
        """Take probes on their way into these interfaces; return whether the table was not so.

        Raises `UnoError`.
        """
        wanted = ruleset(interfaces, self._mark)
        is_same = self._set is not None and self._set[0] == wanted
        generation = nft.generation()
        if is_same and generation == self._generation:
            return False
        listing = nft.listing(PROBE_TABLE)
        is_changed = not is_same or listing is None or self._set != (wanted, listing)
        if is_changed:
            nft.replace_table(PROBE_TABLE, wanted)
            self._set = wanted, nft.listing(PROBE_TABLE)
            generation = nft.generation()
        self._generation = generation
        return is_changed

    def packets(self) -> Iterator[tuple[bytes, int]]:
        """Yield the start of each packet that was taken since the last call.

        With it the index of the interface that it would have left by.
        """
        while True:
            try:
                part = self.socket.recv(_PART)
            except BlockingIOError:
                return
            except OSError as error:
                # ENOBUFS: some were lost, as packets may be.
                if error.errno == errno.ENOBUFS:
                    continue
                return
            for each in rtnetlink.messages(part):
                if each.kind == _SUBSYSTEM << 8 | _PACKET:
                    found = rtnetlink.attributes(each.body, _FAMILY.size)
                    output = int.from_bytes(found.get(_OUTPUT, b""), "big")
                    yield found.get(_PAYLOAD, b""), output

    def close(self) -> None:
        """Remove the table. Raises `UnoError` where nft fails."""
        self.socket.close()
        if self._set is not None:
            nft.replace_table(PROBE_TABLE, None)


def _bound() -> socket.socket:
    one = rtnetlink.opened(family=_NETFILTER)
    bind = struct.pack("=B3x", _CMD_BIND)
    mode = struct.pack("!IBx", SNAP_LENGTH, _COPY_PACKET)
    try:
        one.settimeout(5)
        for kind, value in ((_CFG_CMD, bind), (_CFG_MODE, mode)):
            _configure(one, kind, value)
    except OSError as error:
        one.close()
        if error.errno in {errno.EBUSY, errno.EPERM}:
            raise ActionNeeded(
                f"another process has group {GROUP} of the kernel's packet log",
                "end the other process: an agent, or `uno service status`",
            ) from error
        raise TransientFailure(
            f"this kernel gives no packet log to this process ({error.strerror})",
            "load the kernel module nfnetlink_log",
        ) from error
    one.settimeout(0)
    return one


def _configure(one: socket.socket, kind: int, value: bytes) -> None:
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    body = _FAMILY.pack(socket.AF_UNSPEC, 0, socket.htons(GROUP)) + attribute
    body += bytes(-len(body) % 4)
    head = (_HEADER.size + len(body), _SUBSYSTEM << 8 | _CONFIG, _REQUEST_ACK, 1, 0)
    one.send(_HEADER.pack(*head) + body)
    rtnetlink.acknowledged(next(rtnetlink.messages(one.recv(_PART))))
