"""What is told of what Cyclone DDS prints: one line of each kind."""

from __future__ import annotations

import ctypes
import os

from uno.bus import cyclone_warnings
from uno.bus.cyclone_warnings import DistinctWarnings, captured_stderr

LINE = "1795406092.773989 [76]       recv: malformed packet received from vendor 1.16 length {}\n"


def test_each_kind_is_told_once_without_its_stamp() -> None:
    heard = DistinctWarnings()
    write(LINE.format(10) + LINE.format(20))
    write("1795406093.1 [0] tev: ddsi_udp_conn_write to udp/10.0.0.1:7410 failed\n")

    assert heard.new() == [
        "malformed packet received from vendor 1.16 length 10",
        "ddsi_udp_conn_write to udp/10.0.0.1:7410 failed",
    ]
    write(LINE.format(30))
    assert heard.new() == []


def test_more_kinds_than_anybody_reads_are_not_told() -> None:
    heard = DistinctWarnings()
    words = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
    for one in words:
        write("".join(f"1.0 [1] x: {one} {other}\n" for other in words))

    assert len(heard.new()) == 20


def test_a_pipe_that_nobody_empties_keeps_nobody_waiting() -> None:
    heard = DistinctWarnings()
    for number in range(3000):
        write(LINE.format(number))

    assert len(heard.new()) == 1


def test_the_pipe_is_made_once_and_closed_in_other_programs() -> None:
    with captured_stderr():
        pass

    reading, _ = cyclone_warnings._pipe()

    assert cyclone_warnings._pipe()[0] == reading
    assert not os.get_inheritable(reading)


def write(text: str) -> None:
    """Write as a C library does that has remembered `stderr` when it was ours."""
    libc = ctypes.CDLL(None)
    libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    with captured_stderr():
        stream = ctypes.c_void_p.in_dll(libc, "stderr").value
    assert stream is not None
    libc.fputs(text.encode(), stream)
