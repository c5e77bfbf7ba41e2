"""Run a program without the right to set socket filters.

Usage: `python -I -S seccomp_no_socket_filter.py PROGRAM [ARGUMENT...]`.

FRR's bfdd opens a packet socket for BFD's echo packets, which uno does not use, and there is no
setting against it (`bp_echo_socket` in bfdd/bfd_packet.c). It is bound to every interface, so that
the kernel has to clone each IPv4 packet that the host receives, and to copy its headers when it is
forwarded, before the socket's filter drops it (packet(7)). A bfdd that cannot set the filter closes
that socket, logs it once, and goes on without; one that cannot open it at all aborts.

A filter of system calls (seccomp(2)), which the program inherits, refuses it. Where the kernel has
no seccomp the program runs all the same: the filter saves time, and protects nothing.

A shell script starts this before FRR, so it imports as little as it can, and nothing of uno.
"""

import ctypes
import errno
import os
import struct
import sys

# Numbers of setsockopt(2), as in the kernel's system call tables, by the machine and the bytes of a
# pointer: a program for 32 bits on a kernel for 64 has other numbers.
_SETSOCKOPT = {
    ("x86_64", 8): 54,
    ("aarch64", 8): 208,
    ("riscv64", 8): 208,
    ("armv7l", 4): 294,
    ("i686", 4): 366,
}
# asm-generic/socket.h: of the second and the third argument.
_SOL_SOCKET, _SO_ATTACH_FILTER = 1, 26

# linux/prctl.h, linux/seccomp.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOPROTOOPT

# Classic BPF (linux/bpf_common.h): load 32 bits of struct seccomp_data, compare, return. These are
# the lower halves of the 64 bits that each argument has, on a little-endian machine.
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _LEVEL_AT, _OPTION_AT = 0, 24, 32


def refuse_socket_filters(machine: str) -> bool:
    """Refuse this process and its children SO_ATTACH_FILTER; return whether that succeeded.

    `machine` is the kernel's name of it, as in uname(2).
    """
    number = _SETSOCKOPT.get((machine, ctypes.sizeof(ctypes.c_void_p)))
    if number is None:
        return False
    instructions = (
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_EQUAL, 0, 5, number),
        (_LOAD, 0, 0, _LEVEL_AT),
        (_IF_EQUAL, 0, 3, _SOL_SOCKET),
        (_LOAD, 0, 0, _OPTION_AT),
        (_IF_EQUAL, 0, 1, _SO_ATTACH_FILTER),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    packed = b"".join(struct.pack("=HBBI", *each) for each in instructions)
    code = ctypes.create_string_buffer(packed)
    # struct sock_fprog: how many, and where.
    program = struct.pack("HP", len(instructions), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def install() -> bool:
        status: int = prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0)
        return status == 0

    # Root needs no PR_SET_NO_NEW_PRIVS (seccomp(2)).
    return install() or (prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and install())


if __name__ == "__main__":
    refuse_socket_filters(os.uname().machine)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
