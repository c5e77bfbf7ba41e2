"""A node of a world: run programs in it, and listen on its wires."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

from uno.diagnostics import ActionNeeded
from uno.host.command import Completed, Process, run, start
from uno.lab import netns
from uno.lab.world_layout import Station
from uno.model.net import Address


def as_on_a_stock_host(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command that runs `argv` as cron on a hardened host does.

    PATH has no directories of system administration (crontab(5)), and new files are closed to
    other users (umask 027).
    """
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(each for each in directories if Path(each).name != "sbin")
    return ("sh", "-c", 'umask 027; PATH=$1; shift; exec "$@"', "sh", path, *argv)


class Running(Protocol):
    """What leads a program: `uno.host.command.Process`, or one that was started otherwise."""

    @property
    def pid(self) -> int:
        """The host's process id, and that of its process group."""

    def status(self) -> int | None:
        """Its exit status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `CommandFailed` after `timeout` seconds."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs in a node, with all that it started."""

    process: Running

    @property
    def pid(self) -> int:
        """The host's process id of what leads to it; also that of its process group."""
        return self.process.pid

    def status(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.process.status()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `CommandFailed` after `timeout` seconds."""
        return self.process.wait(timeout)

    def stop(self, *, within: float = 5) -> int:
        """Send SIGTERM to all of it, SIGKILL after `within` seconds; return its exit status."""
        # In a machine nsenter stays the parent of the program, and ends without a signal to it.
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + within
        pause = Event()
        while self.process.status() is None or self._signal(0):
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                break
            pause.wait(0.005)
        return self.process.wait(within)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A running `tcpdump`; ended by leaving the `with` that made it."""

    file: Path

    def packets(self) -> tuple[str, ...]:
        """What was seen, one line for each packet, as tcpdump prints it (without names)."""
        # -U wrote each packet as it came, so this works while the capture still runs, too.
        lines = run(["tcpdump", "-nn", "-tt", "-r", str(self.file)], check=False).stdout
        return tuple(lines.splitlines())


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that exists. `directory` is its own, 0700, at the same path inside and outside.

    `holder` is, for a machine, the host's process id and start time of its first process.
    """

    station: Station
    namespace: str
    directory: Path
    holder: tuple[int, int] | None = field(default=None)

    @property
    def name(self) -> str:
        """Its name in the lab."""
        return self.station.name

    def address(self, version: int = 4) -> Address | None:
        """Its first address of that IP version, the LAN's before the Internet's."""
        found = (item for item in self.station.addresses if item.version == version)
        return next(found, None)

    def entering(self) -> tuple[str, ...]:
        """The command in front of a command that makes it run in this node. Raises `UnoError`."""
        if not self.station.machine:
            return ("nsenter", f"--net={netns.NAMES / self.namespace}", "--")
        if self.holder is None or netns.start_time(self.holder[0]) != self.holder[1]:
            raise ActionNeeded(f"machine {self.name} of the lab is gone", "take the lab down")
        into = ("--net", "--mount", "--uts", "--pid")
        return ("nsenter", f"--target={self.holder[0]}", *into, "--")

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | str | None = None,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run a program here to its end, as `uno.host.command.run` does.

        It has the variables of this process, and `env`.
        """
        env = {**os.environ, **(env or {})}
        return run([*self.entering(), *argv], stdin=stdin, timeout=timeout, env=env, check=check)

    def start(
        self, argv: Sequence[str], *, log: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Program:
        """Start a program here in the background, as `uno.host.command.start` does.

        It has the variables of this process, and `env`.
        """
        return Program(start([*self.entering(), *argv], log=log, env={**os.environ, **(env or {})}))

    @contextmanager
    def capture(self, interface: str, expression: str = "") -> Iterator[Capture]:
        """Record the packets on an interface that match a pcap-filter(7) expression.

        The capture runs when the block begins. Raises `UnoError` if tcpdump refuses.
        """
        number = sum(1 for _ in self.directory.glob("capture-*.pcap"))
        capture = Capture(file=self.directory / f"capture-{number}.pcap")
        log = capture.file.with_suffix(".log")
        # Only the network matters, so nsenter becomes tcpdump, and a signal reaches it.
        process = start(
            [
                *("nsenter", f"--net={netns.NAMES / self.namespace}", "--"),
                *("tcpdump", "-i", interface, "-U", "--immediate-mode", "-Z", "root"),
                *("-w", str(capture.file), expression),
            ],
            log=log,
        )
        try:
            _await_listening(process, log)
            yield capture
        finally:
            process.popen.send_signal(signal.SIGINT)
            process.stop()

    def kill(self) -> None:
        """End every program of this machine at once, as a power cut would; its wires stay."""
        run([*self.entering(), "sh", "-c", "kill -9 -1"], check=False)

    def unplug(self, interface: str) -> None:
        """Take an interface down."""
        self.run(["ip", "link", "set", interface, "down"])

    def plug(self, interface: str) -> None:
        """Bring an interface up again; static routes through it are set anew."""
        self.run(["ip", "link", "set", interface, "up"])
        mine = [c for c in self.station.commands if re.match(r"(route|addr) add", c)]
        self.run(["ip", "-force", "-batch", "-"], stdin="\n".join(mine) + "\n", check=False)


def _await_listening(process: Process, log: Path) -> None:
    deadline = time.monotonic() + 5
    pause = Event()
    while b"listening on" not in (log.read_bytes() if log.exists() else b""):
        if process.status() is not None or time.monotonic() > deadline:
            output = log.read_text().strip() if log.exists() else ""
            raise ActionNeeded(
                f"tcpdump does not start: {output}", "check the interface and the filter"
            )
        pause.wait(0.01)
