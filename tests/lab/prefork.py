"""Commands and agents of uno on machines of a lab, without the time that Python takes to start.

They are the same, with the same arguments, environment and namespaces, in processes that
`prefork_server` forks. A test of a command's start, or of what ends it, runs it by `Node.run`; a
module that measures what agents take has the fixture `agents_start_from_scratch`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Lock

import prefork_server
import pytest

from uno import program
from uno.host import command
from uno.host.command import CommandFailed, Completed
from uno.lab import deploy
from uno.lab.node import Node, Program, as_on_a_stock_host


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
        argv = _argv(node, arguments)
        with ExitStack() as stack:
            ends = [os.pipe() for _ in range(3)]
            readers = [stack.enter_context(FileIO(each)) for each, _ in ends]
            self._start(node, arguments, [each for _, each in ends], environment=_variables(env))
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

    def start_uno(
        self,
        node: Node,
        *arguments: str,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        """Start a command of uno on a machine, as `uno.lab.deploy.start_uno` does."""
        output = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        reader, writer = os.pipe()
        files = [output, os.dup(output), writer]
        self._start(node, arguments, files, environment=_variables(env))
        return Program(Forked(_argv(node, arguments), reader))

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
        directory: str = "/",
    ) -> None:
        """Send a request with its files, which are closed here.

        It runs in `directory`; by default where nsenter(1) begins.
        """
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


class Forked:
    """What leads a program that a server has forked, as `uno.lab.node.Running` is."""

    def __init__(self, argv: Sequence[str], outcome: int) -> None:
        """Take over the file that the server writes the outcome to; wait for the process id."""
        self._argv, self._file, self._outcome, self._lock = argv, outcome, b"", Lock()
        self._close = weakref.finalize(self, os.close, outcome)
        while b"\n" not in self._outcome:
            assert self._close.alive, "the server has ended; it has printed why"
            self._read(None)
        self.pid = int(self._outcome.split()[0])

    def status(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `CommandFailed` after `timeout` seconds."""
        status = self._ended(timeout)
        if status is None:
            raise CommandFailed(self._argv, f"did not end within {timeout:g} s")
        return status

    def _ended(self, within: float | None) -> int | None:
        deadline = None if within is None else time.monotonic() + within
        with self._lock:
            while self._close.alive:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not self._read(left):
                    return None
        return _status(self._outcome)

    def _read(self, within: float | None) -> bool:
        """Read what there is within so many seconds; close the file at its end."""
        poll = select.poll()
        poll.register(self._file, select.POLLIN)
        if not poll.poll(None if within is None else within * 1000):
            return False
        data = os.read(self._file, 64)
        self._outcome += data
        if not data:
            self._close()
        return True


def _argv(node: Node, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command that a message about a process shows."""
    return (*node.entering(), *as_on_a_stock_host(program.argv(*arguments)))


def _variables(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment that `Node.run` gives a command, on a stock host."""
    *_, path = as_on_a_stock_host(())
    return command._environment({**os.environ, **(env or {}), "PATH": path})


def _status(outcome: bytes) -> int:
    """Return the exit status that a server has written after the process id."""
    assert outcome, "the server has ended; it has printed why"
    # Who waited for it was killed where there is none: with its machine, or by its client.
    return int(outcome.split()[-1]) if outcome.count(b"\n") == 2 else -signal.SIGKILL


@contextmanager
def serving() -> Iterator[Prefork]:
    """Have deployments run commands and agents by a server, for the length of the block."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        with far:
            argv = [sys.executable, prefork_server.__file__, str(far.fileno())]
            environment = command._environment(os.environ)
            process = command.start_child(argv, descriptor=far.fileno(), errors=2, env=environment)
        server = Prefork(requests=near)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(deploy, "uno", server.uno)
            patched.setattr(deploy, "start_uno", server.start_uno)
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
