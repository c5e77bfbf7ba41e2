"""ICMP echo messages, and reading them from a socket."""

from __future__ import annotations

import os
import socket

import pytest

from uno.host.probe import icmp_echo


def test_a_request_is_as_in_rfc_792() -> None:
    # Type 8, code 0, checksum (RFC 1071), identifier, sequence number, data.
    expected = bytes.fromhex("0800 8464 1234 0005 6162")

    assert icmp_echo.request(b"ab", identifier=0x1234, sequence=5) == expected


@pytest.mark.parametrize("body", [b"", b"a", b"ab", b"\xff" * 1001])
def test_the_words_of_a_request_sum_up_to_all_ones(body: bytes) -> None:
    message = icmp_echo.request(body, identifier=0xFFFF, sequence=0xFFFF)

    assert icmp_echo.checksum(message) == 0


def test_a_sequence_number_starts_again_after_16_bits() -> None:
    assert icmp_echo.request(b"", sequence=0x10007) == icmp_echo.request(b"", sequence=7)


def test_the_kernel_computes_the_checksum_of_icmpv6() -> None:
    assert icmp_echo.request(b"x", version=6, sequence=1).hex() == "800000000000000178"


@pytest.mark.parametrize(("version", "kind", "other"), [(4, 0, 129), (6, 129, 0)])
def test_a_reply_has_a_body_and_nothing_else_has(version: int, kind: int, other: int) -> None:
    header = bytes(7)

    assert icmp_echo.reply_body(bytes([kind]) + header + b"xy", version=version) == b"xy"
    assert icmp_echo.reply_body(bytes([kind]) + header, version=version) == b""
    assert icmp_echo.reply_body(bytes([other]) + header + b"xy", version=version) is None
    assert icmp_echo.reply_body(bytes([kind]) + header[1:], version=version) is None
    assert icmp_echo.reply_body(icmp_echo.request(b"xy", version=version), version=version) is None


def test_an_ip_header_may_have_options() -> None:
    assert icmp_echo.without_ip_header(b"\x45" + bytes(19) + b"m") == b"m"
    assert icmp_echo.without_ip_header(b"\x46" + bytes(23) + b"m") == b"m"
    assert icmp_echo.without_ip_header(b"") == b""


def test_all_that_a_socket_has_received_is_read_and_no_more_waited_for() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.settimeout(0)
        for message in (b"one", b"two", b"three"):
            theirs.send(message)

        assert list(icmp_echo.received(ours, 4)) == [b"one", b"two", b"thre"]


def test_an_error_that_an_earlier_request_met_is_skipped() -> None:
    class Failing:
        def __init__(self) -> None:
            self.results: list[bytes | OSError] = [OSError(113, "No route to host"), b"reply"]

        def recv(self, _size: int) -> bytes:
            result = self.results.pop(0) if self.results else BlockingIOError()
            if isinstance(result, OSError):
                raise result
            return result

    assert list(icmp_echo.received(Failing(), 256)) == [b"reply"]  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs root")
def test_the_kernel_answers_a_request() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
        one.settimeout(5)
        one.sendto(icmp_echo.request(b"hello", identifier=99), ("127.0.0.1", 0))
        bodies = (
            icmp_echo.reply_body(icmp_echo.without_ip_header(one.recv(256))) for _ in range(9)
        )

        assert next(body for body in bodies if body is not None) == b"hello"
