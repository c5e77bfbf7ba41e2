"""A limit for calls on a socket that is used again and again."""

from __future__ import annotations

import socket
import struct

EXPIRED = (BlockingIOError, TimeoutError)
"""What a call on a socket raises after its limit."""


def limit_calls(one: socket.socket, seconds: float) -> None:
    """Have the kernel end calls on a blocking socket after some seconds (socket(7)).

    With `settimeout` Python polls before each call, which doubles the system calls.
    """
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    try:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            one.setsockopt(socket.SOL_SOCKET, option, limit)
    except OSError:
        # On 32 bits the times of this option may have 64.
        one.settimeout(seconds)
