"""What is reported of the lines that Cyclone DDS prints: one of each kind."""

from __future__ import annotations

import ctypes
import os

from uno.bus import cyclone_warnings
from uno.bus.cyclone_warnings import DistinctWarnings, captured_stderr

LINE = "1795406092.773989 [76]       recv: malformed packet received from vendor 1.16 length {}\n"


def test_each_kind_is_reported_once_without_its_timestamp() -> None:
    warnings = DistinctWarnings()
    write(LINE.format(10) + LINE.format(20))
    write("1795406093.1 [0] tev: ddsi_udp_conn_write to udp/10.0.0.1:7410 failed\n")

    assert warnings.new() == [
        "malformed packet received from vendor 1.16 length 10",
        "ddsi_udp_conn_write to udp/10.0.0.1:7410 failed",
    ]
    write(LINE.format(30))
    assert warnings.new() == []


def test_the_number_of_reported_kinds_is_limited() -> None:
    warnings = DistinctWarnings()
    names = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
    for one in names:
        write("".join(f"1.0 [1] x: {one} {other}\n" for other in names))

    assert len(warnings.new()) == 20


def test_a_full_pipe_does_not_block_the_writer() -> None:
    warnings = DistinctWarnings()
    for number in range(3000):
        write(LINE.format(number))

    assert len(warnings.new()) == 1


def test_there_is_one_pipe_and_child_processes_do_not_inherit_it() -> None:
    with captured_stderr():
        pass

    reading, _ = cyclone_warnings._pipe()

    assert cyclone_warnings._pipe()[0] == reading
    assert not os.get_inheritable(reading)


def write(text: str) -> None:
    """Write to the captured `stderr`, as a C library does that has copied it."""
    libc = ctypes.CDLL(None)
    libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    with captured_stderr():
        stream = ctypes.c_void_p.in_dll(libc, "stderr").value
    assert stream is not None
    libc.fputs(text.encode(), stream)
