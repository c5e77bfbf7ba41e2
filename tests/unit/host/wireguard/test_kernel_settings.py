"""Interfaces of the kernel's WireGuard, as messages of generic netlink (linux/wireguard.h)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from uno.diagnostics import TransientFailure
from uno.host.netlink import rtnetlink
from uno.host.netlink.rtnetlink import attribute
from uno.host.wireguard import kernel_settings, uapi
from uno.host.wireguard.interfaces import InterfaceReader
from uno.host.wireguard.kernel_settings import KernelReader, configured

ERROR, DONE, MULTI, NESTED = 2, 3, 2, 0x8000
FAMILY = 0x1F
KEYS = {name: bytes([number] * 32) for number, name in enumerate(("own", "a", "b", "psk"), start=1)}
NETWORKS = {
    "10.1.0.0/16": (socket.AF_INET, bytes([10, 1, 0, 0]), 16),
    "10.2.0.0/16": (socket.AF_INET, bytes([10, 2, 0, 0]), 16),
    "fd00::/8": (socket.AF_INET6, bytes([0xFD, *bytes(15)]), 8),
}
ROAMED = struct.pack("=H", socket.AF_INET6) + bytes(26)
CALLED = struct.pack("=H", socket.AF_INET) + bytes(14)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def allowed(*names: str) -> bytes:
    """WGPEER_A_ALLOWEDIPS."""
    entries = [
        nested(
            0,
            attribute(3, bytes([length])),
            attribute(1, struct.pack("=H", family)),
            attribute(2, octets),
        )
        for family, octets, length in (NETWORKS[name] for name in names)
    ]
    return nested(9, *entries)


def peer(
    name: str,
    *networks: str,
    psk: str = "psk",
    keepalive: int = 25,
    packets: int = 0,
    endpoint: bytes = CALLED,
) -> bytes:
    """A peer, with its attributes in the kernel's order."""
    return nested(
        0,
        attribute(1, KEYS[name]),
        attribute(2, KEYS[psk]),
        attribute(6, struct.pack("=qq", 1_700_000_000 + packets, 5)),
        attribute(5, struct.pack("=H", keepalive)),
        attribute(8, struct.pack("=Q", packets)),
        attribute(7, struct.pack("=Q", packets)),
        attribute(10, struct.pack("=I", 1)),
        *([attribute(4, endpoint)] if endpoint else []),
        allowed(*networks),
    )


def more_of(name: str, *networks: str) -> bytes:
    """The rest of a peer, in a message of its own."""
    return nested(0, attribute(1, KEYS[name]), allowed(*networks))


def device(*peers: bytes, port: int = 63550, mark: int = 0xB7) -> bytes:
    """The first message of a response."""
    return header() + b"".join(
        [
            attribute(6, struct.pack("=H", port)),
            attribute(7, struct.pack("=I", mark)),
            attribute(1, struct.pack("=I", 7)),
            attribute(2, b"uwg-b0\0"),
            attribute(3, KEYS["own"]),
            attribute(4, KEYS["a"]),
            nested(8, *peers),
        ]
    )


def more(*peers: bytes) -> bytes:
    """A later message of a response."""
    return header() + attribute(2, b"uwg-b0\0") + nested(8, *peers)


def header() -> bytes:
    return struct.pack("=BBH", 0, 1, 0)


A = peer("a", "10.1.0.0/16", "fd00::/8")
B = peer("b", "10.2.0.0/16")
WHOLE = [device(A, B)]


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("now", "differs"),
    [
        (WHOLE, False),
        ([device(B, A)], False),
        ([device(A), more(B)], False),
        ([device(peer("a", "10.1.0.0/16")), more(more_of("a", "fd00::/8"), B)], False),
        ([device(peer("a")), more(more_of("a", "10.1.0.0/16", "fd00::/8")), more(B)], False),
        ([device(A, peer("b", "10.2.0.0/16", packets=9))], False),
        ([device(A, peer("b", "10.2.0.0/16", endpoint=ROAMED))], False),
        ([device(A, peer("b", "10.2.0.0/16", endpoint=b""))], False),
        ([device(A)], True),
        ([device(A, B, port=63551)], True),
        ([device(A, B, mark=0)], True),
        ([device(A, peer("b", "10.1.0.0/16"))], True),
        ([device(A, peer("b"))], True),
        ([device(A, peer("b", "10.2.0.0/16", keepalive=0))], True),
        ([device(A, peer("b", "10.2.0.0/16", psk="own"))], True),
        ([device(peer("a", "10.1.0.0/16"), more_of("b", "fd00::/8"))], True),
    ],
    ids=[
        *("same", "order", "two-messages", "parted-peer", "parted-twice"),
        *("packets", "roamed", "not-called-yet"),
        *("peer", "port", "mark", "allowed-ip", "allowed-ips", "keepalive", "psk", "of-another"),
    ],
)
def test_settings_differ_with_the_configuration_alone(now: list[bytes], *, differs: bool) -> None:
    assert (configured(WHOLE) != configured(now)) is differs


@pytest.mark.feature("F066")
def test_no_key_is_printed() -> None:
    assert repr(configured(WHOLE)) == "KernelSettings(2 peers)"


Kernel = list[Sequence[bytes]]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """The datagrams of each response that the kernel is about to send; what was not sent stays."""
    responses: Kernel = []
    sockets: list[socket.socket] = []

    def opened(groups: int = 0, *, family: int = 0) -> socket.socket:
        assert (groups, family) == (0, 16)
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sockets.append(far)
        for each in responses.pop(0):
            far.send(each)
        return near

    monkeypatch.setattr(rtnetlink, "opened", opened)
    yield responses
    for each in sockets:
        each.close()


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def response(*bodies: bytes, code: int = 0) -> list[bytes]:
    parts = [message(FAMILY, each, MULTI) for each in bodies]
    return [*parts, message(DONE, struct.pack("=i", code), MULTI)]


def failed(code: int) -> list[bytes]:
    return [message(ERROR, struct.pack("=i", -code) + bytes(16))]


IS_THERE = [message(16, header() + attribute(2, b"wireguard\0") + attribute(1, bytes([FAMILY, 0])))]


def test_the_number_of_wireguards_family_is_asked_for_once(kernel: Kernel) -> None:
    kernel += [IS_THERE, response(*WHOLE), response(device(A), more(B))]
    reader = KernelReader()

    assert reader.read("uwg-b0") == reader.read("uwg-b0") == configured(WHOLE)
    assert kernel == []


@pytest.mark.parametrize("code", [errno.ENODEV, errno.EOPNOTSUPP], ids=["gone", "of-another"])
def test_an_interface_that_is_not_there_has_no_settings(kernel: Kernel, code: int) -> None:
    kernel += [IS_THERE, failed(code)]

    assert KernelReader().read("uwg-b0") is None


def test_a_kernel_without_wireguard_has_no_settings(kernel: Kernel) -> None:
    kernel += [failed(errno.ENOENT)]

    assert KernelReader().read("uwg-b0") is None


def test_a_module_that_was_loaded_again_has_another_number(kernel: Kernel) -> None:
    kernel += [IS_THERE, response(*WHOLE), failed(errno.ENOENT), IS_THERE, response(*WHOLE)]
    reader = KernelReader()

    found = [reader.read("uwg-b0") for _ in range(3)]

    assert found == [configured(WHOLE), None, configured(WHOLE)]


@pytest.mark.parametrize(
    "refused",
    [failed(errno.EPERM), response(device(A), code=-errno.EMSGSIZE)],
    ids=["at-once", "at-the-end"],
)
def test_what_the_kernel_refuses_is_no_configuration(kernel: Kernel, refused: list[bytes]) -> None:
    kernel += [IS_THERE, refused]

    with pytest.raises(TransientFailure):
        KernelReader().read("uwg-b0")


def test_families_are_found_in_this_kernel() -> None:
    """The family of families, which each kernel has."""
    assert kernel_settings.family(b"nlctrl") == 16
    with pytest.raises(TransientFailure):
        kernel_settings.family(b"none-such")


@pytest.mark.feature("G51")
def test_an_interface_without_a_process_is_the_kernels(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uapi, "SOCKETS", tmp_path)
    kernel += [IS_THERE, response(*WHOLE), response(device(A)), failed(errno.ENODEV)]
    reader = InterfaceReader()

    found = [reader.configured(["uwg-b0"]) for _ in range(3)]

    assert found == [
        {"uwg-b0": configured(WHOLE)},
        {"uwg-b0": configured([device(A)])},
        {"uwg-b0": None},
    ]
