"""A program that is refused socket filters runs as it would, but for them."""

from __future__ import annotations

import sys

import pytest

from uno.host.command import run
from uno.host.routing_frr import seccomp_no_socket_filter

IN_IT = (sys.executable, "-I", "-S", seccomp_no_socket_filter.__file__)
# Says what it got when it set a filter that lets everything pass, and another option.
TRIES = """
import ctypes, socket, struct
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0xFFFFFFFF))
program = struct.pack("HP", 1, ctypes.addressof(code))
try:
    one.setsockopt(socket.SOL_SOCKET, 26, program)
    print("taken")
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize(
    ("words", "reported"),
    [((), "taken"), (IN_IT, "Protocol not available")],
    ids=["without", "within"],
)
def test_a_socket_filter_is_refused_and_no_other_option(
    words: tuple[str, ...], reported: str
) -> None:
    done = run([*words, sys.executable, "-c", TRIES])

    assert done.stdout == f"{reported}\n"


def test_the_program_gets_its_arguments_and_its_status_is_returned() -> None:
    done = run([*IN_IT, "sh", "-c", 'printf "%s|" "$@"; exit 7', "sh", "a b", ""], check=False)

    assert (done.status, done.stdout) == (7, "a b||")


def test_a_machine_whose_numbers_are_not_known_refuses_nothing() -> None:
    assert not seccomp_no_socket_filter.refuse_socket_filters("pdp11")
    assert run([sys.executable, "-c", TRIES]).stdout == "taken\n"
