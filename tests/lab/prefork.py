"""Commands of uno on machines of a lab, without the time that Python takes to start.

They are the same commands, with the same arguments, environment and namespaces, in processes that
`prefork_server` forks. A test of a command's start, or of what ends it, runs it by `Node.run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import prefork_server
import pytest

from uno import program
from uno.host import command
from uno.host.command import CommandFailed, Completed
from uno.lab import deploy
from uno.lab.node import Node, as_on_a_stock_host


@dataclass(frozen=True, kw_only=True)
class Prefork:
    """The other end of a server's socket."""

    requests: socket.socket

    def uno(
        self,
        node: Node,
        *arguments: str,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run a command of uno on a machine, as `uno.lab.deploy.uno` does."""
        argv = (*node.entering(), *as_on_a_stock_host(program.argv(*arguments)))
        *_, path = as_on_a_stock_host(())
        environment = command._environment({**os.environ, **(env or {}), "PATH": path})
        with ExitStack() as stack:
            ends = [os.pipe() for _ in range(3)]
            readers = [stack.enter_context(FileIO(each)) for each, _ in ends]
            self._start(node, arguments, [each for _, each in ends], environment=environment)
            output, errors, outcome = _read(readers, argv, timeout=timeout)
        status = _status(outcome)
        if check and status != 0:
            raise CommandFailed(argv, f"ended with status {status}", stderr=errors.decode())
        return Completed(
            argv=argv,
            status=status,
            stdout=output.decode(errors="replace"),
            stderr=errors.decode(errors="replace"),
        )

    def at_terminal(
        self,
        node: Node,
        *arguments: str,
        terminal: int,
        directory: Path,
        env: Mapping[str, str],
    ) -> Callable[[], int]:
        """Start a command of uno in a directory of a machine, on the far end of a terminal.

        Takes that end over. Return what waits for the command, and returns its exit status.
        """
        reader, writer = os.pipe()
        files = [terminal, os.dup(terminal), writer]
        self._start(node, arguments, files, environment=env, directory=str(directory))

        def ended() -> int:
            with FileIO(reader) as outcome:
                return _status(outcome.readall())

        return ended

    def _start(
        self,
        node: Node,
        arguments: Sequence[str],
        files: Sequence[int],
        *,
        environment: Mapping[str, str],
        directory: str = "",
    ) -> None:
        """Send a request with its files, which are closed here."""
        assert node.holder is not None
        request = {
            "holder": node.holder[0],
            "environment": environment,
            "words": arguments,
            "directory": directory,
        }
        try:
            socket.send_fds(self.requests, [json.dumps(request).encode()], list(files))
        finally:
            for each in files:
                os.close(each)


def _status(outcome: bytes) -> int:
    """Return the exit status that a server has written after the process id."""
    assert outcome, "the server has ended; it has printed why"
    return int(outcome.split()[-1]) if outcome.count(b"\n") == 2 else 1


@contextmanager
def serving() -> Iterator[Prefork]:
    """Have deployments run their commands by this server, for the length of the block."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        with far:
            argv = [sys.executable, prefork_server.__file__, str(far.fileno())]
            environment = command._environment(os.environ)
            process = command.start_child(argv, descriptor=far.fileno(), errors=2, env=environment)
        server = Prefork(requests=near)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(deploy, "uno", server.uno)
            yield server
    process.wait(10)


def _read(
    readers: Sequence[FileIO], argv: Sequence[str], *, timeout: float
) -> tuple[bytes, bytes, bytes]:
    """Return what is written to each file until all are closed, which ends with the command."""
    deadline = time.monotonic() + timeout
    found = {each.fileno(): b"" for each in readers}
    with selectors.DefaultSelector() as selector:
        for each in readers:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fileobj)
            if not ready and time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
                    os.killpg(int(found[readers[-1].fileno()].split()[0]), signal.SIGKILL)
                raise CommandFailed(argv, f"did not end within {timeout:g} s")
    output, errors, outcome = (found[each.fileno()] for each in readers)
    return output, errors, outcome
