"""A daemon of FRR that answers on its socket, as `lib/vty.c` of FRR 8.4 frames it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def daemon(
    folder: Path, name: str, answers: Mapping[str, str], *, connections: int = 1
) -> Iterator[list[str]]:
    """Answer so many connections on a daemon's socket, and yield the commands.

    It hangs up at what `answers` lacks. Configuration commands are accepted, unless `answers` has
    another output.
    """
    received: list[str] = []
    known = {"enable": "", **answers}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / f"{name}.vty"))
    listener.listen()
    opened: list[socket.socket] = []
    thread = threading.Thread(target=_accept, args=(listener, connections, opened, received, known))
    thread.start()
    try:
        yield received
    finally:
        for each in (listener, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(
    listener: socket.socket,
    connections: int,
    opened: list[socket.socket],
    received: list[str],
    answers: dict[str, str],
) -> None:
    serving = []
    with listener, suppress(OSError):
        for _ in range(connections):
            opened.append(listener.accept()[0])
            arguments = (opened[-1], received, answers)
            serving.append(threading.Thread(target=_serve, args=arguments))
            serving[-1].start()
    for each in serving:
        each.join()


def _serve(one: socket.socket, received: list[str], answers: dict[str, str]) -> None:
    with one:
        waiting, configures = b"", False
        while part := one.recv(4096):
            waiting += part
            while b"\0" in waiting:
                command, _, waiting = waiting.partition(b"\0")
                received.append(command.decode())
                configures = configures or received[-1] == "configure terminal"
                if received[-1] not in answers and not configures:
                    return
                reported = answers.get(received[-1], "").encode()
                # CMD_WARNING_CONFIG_FAILED in FRR's lib/command.h.
                status = b"\x0d" if reported.startswith(b"%") else b"\0"
                one.sendall(reported + b"\0\0\0" + status)
