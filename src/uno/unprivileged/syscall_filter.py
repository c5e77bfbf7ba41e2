"""Refuses system calls that a process needs in order to attack others (seccomp(2)).

What is refused: programs, other processes, namespaces, mounts, modules, other kinds of sockets than
those of UDP and netlink, and interfaces of the kernel that have had many faults. A list of what is
allowed would be shorter in effect and would break with the next version of the C library.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import Final

# As in the kernel's tables of system calls. From 424 on, the numbers are the same on all machines.
_COMMON: Final = (
    *(424, 425, 426, 427),  # pidfd_send_signal, io_uring_setup, io_uring_enter, io_uring_register
    *(428, 429, 430, 431, 432, 433),  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick
    *(434, 438, 440, 442),  # pidfd_open, pidfd_getfd, process_madvise, mount_setattr
)
_REFUSED: Final = {
    "x86_64": (
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 200, 101, 310, 311, 312),  # kill, tkill, ptrace, process_vm_readv/_writev, kcmp
        *(53, 321, 298, 323),  # socketpair, bpf, perf_event_open, userfaultfd
        *(248, 249, 250),  # add_key, request_key, keyctl
        *(165, 166, 155, 161, 272, 308),  # mount, umount2, pivot_root, chroot, unshare, setns
        *(175, 313, 176, 246, 320),  # init_module, finit_module, delete_module, kexec_*
        *(303, 304, 135),  # name_to_handle_at, open_by_handle_at, personality
    ),
    "aarch64": (
        *(221, 281),  # execve, execveat
        *(129, 130, 117, 270, 271, 272),  # kill, tkill, ptrace, process_vm_readv/_writev, kcmp
        *(199, 280, 241, 282),  # socketpair, bpf, perf_event_open, userfaultfd
        *(217, 218, 219),  # add_key, request_key, keyctl
        *(40, 39, 41, 51, 97, 268),  # mount, umount2, pivot_root, chroot, unshare, setns
        *(105, 273, 106, 104, 294),  # init_module, finit_module, delete_module, kexec_*
        *(264, 265, 92),  # name_to_handle_at, open_by_handle_at, personality
    ),
}
_SOCKET: Final = {"x86_64": 41, "aarch64": 198}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
# AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 (linux/audit.h). x32 has numbers from this bit on.
_ARCHITECTURE: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000

# linux/sched.h; bits/socket.h
_CLONE_THREAD: Final = 0x00010000
_AF_INET, _AF_INET6, _AF_NETLINK = 2, 10, 16
_TYPE, _STREAM, _DATAGRAM = 0xF, 1, 2

# linux/prctl.h, linux/seccomp.h
_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

# Classic BPF (linux/bpf_common.h), and the places in struct seccomp_data. Words are the lower
# halves of the 64 bits of an argument, on a little-endian machine.
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _IF_SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24


def install_filter(machine: str, *, streams: bool = False) -> bool:
    """Filter the system calls of this process and its threads; return whether that worked.

    With `streams` it may open connections of TCP beside sockets of UDP and netlink.
    `machine` is the kernel's name of it, as in uname(2). The process must have set
    PR_SET_NO_NEW_PRIVS.
    """
    if machine not in _REFUSED or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    instructions = tuple(_program(machine, streams=streams))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *it) for it in instructions))
    # struct sock_fprog: how many, and where.
    program = struct.pack("HP", len(instructions), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    status: int = prctl(_SET_SECCOMP, _MODE_FILTER, program, 0, 0)
    return status == 0


def _program(machine: str, *, streams: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield instructions: code, how many to skip if it holds, and if not, and the operand."""
    refuse = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    yield _LOAD, 0, 0, _ARCHITECTURE_AT
    yield _IF_EQUAL, 1, 0, _ARCHITECTURE[machine]
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER_AT
    yield _IF_AT_LEAST, 0, 1, _X32
    yield refuse
    for number in (*_REFUSED[machine], *_COMMON):
        yield _IF_EQUAL, 0, 1, number
        yield refuse
    # Its arguments are in memory, where a filter cannot read; the C library then uses clone(2).
    yield _IF_EQUAL, 0, 1, _CLONE3
    yield _RETURN, 0, 0, _ERROR | errno.ENOSYS
    yield _IF_EQUAL, 0, 4, _CLONE[machine]
    yield _LOAD, 0, 0, _FIRST_AT
    yield _IF_SET, 0, 1, _CLONE_THREAD
    yield allow
    yield refuse
    yield _IF_EQUAL, 1, 0, _SOCKET[machine]
    yield allow
    yield _LOAD, 0, 0, _FIRST_AT
    yield _IF_EQUAL, 8, 0, _AF_NETLINK
    yield _IF_EQUAL, 2, 0, _AF_INET
    yield _IF_EQUAL, 1, 0, _AF_INET6
    yield refuse
    yield _LOAD, 0, 0, _SECOND_AT
    yield _AND, 0, 0, _TYPE
    yield _IF_EQUAL, 2, 0, _DATAGRAM
    yield _IF_EQUAL, 1, 0, _STREAM if streams else _DATAGRAM
    yield refuse
    yield allow
