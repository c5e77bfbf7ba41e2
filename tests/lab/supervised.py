"""systemd itself in a machine of a lab: it starts the units that uno makes, as on a real host."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watching import await_true

from uno.host.command import Completed, run
from uno.lab.node import Node

SYSTEMD = Path("/lib/systemd/systemd")
# The units that those of uno name, without what a host does there.
_TARGETS = ("default", "sysinit", "basic", "shutdown", "multi-user")
# In a control group of its own, which becomes the root of those that it makes.
_START = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/uno-$$
echo $$ >/sys/fs/cgroup/uno-$$/cgroup.procs
exec unshare --mount --pid --ipc --cgroup --fork --kill-child --mount-proc sh -c '
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=lxc SYSTEMD_UNIT_PATH="$1"
exec "$2" --system --log-target=console --show-status=no
' sh "$@"
"""
_CLEAN = """
find /sys/fs/cgroup/uno-* -depth -type d -exec rmdir {} +
umount /sys/fs/cgroup
"""


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """A systemd that runs, in namespaces of its own but for the network's."""

    node: Node
    pid: int

    def run(self, *argv: str, check: bool = True) -> Completed:
        """Run a program beside it."""
        into = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--uts", "--")
        return run([*into, *argv], timeout=180, check=check)

    def status(self, unit: str) -> dict[str, str]:
        """Return /proc/PID/status of the main process of a unit."""
        shown = self.run("systemctl", "show", "--value", "-p", "MainPID", unit).stdout.strip()
        lines = self.run("cat", f"/proc/{shown}/status").stdout.splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@contextmanager
def supervised(node: Node, units: dict[str, str], *, log: Path) -> Iterator[Supervised]:
    """Have systemd in a machine, with these units, by file name; what they print goes to `log`."""
    directory = node.directory / "units"
    directory.mkdir()
    for name in _TARGETS:
        (directory / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for name, text in units.items():
        (directory / name).write_text(text)
        extra = directory / f"{name}.d"
        extra.mkdir()
        output = f"[Service]\nStandardOutput=append:{log}\nStandardError=inherit\n"
        (extra / "output.conf").write_text(output)
    argv = ["sh", "-c", _START, "sh", str(directory), str(SYSTEMD)]
    program = node.start(argv, log=node.directory / "systemd.log")
    try:
        await_true(lambda: _systemd_below(program.pid), "systemd is there", within=30)
        found = Supervised(node=node, pid=_systemd_below(program.pid))
        await_true(
            lambda: (
                found.run("systemctl", "is-system-running", check=False).stdout.strip()
                in {"running", "degraded"}
            ),
            "systemd has started",
            within=60,
        )
        yield found
    finally:
        if pid := _systemd_below(program.pid):
            os.kill(pid, signal.SIGKILL)
        program.wait(30)
        node.run(["sh", "-c", _CLEAN], check=False)


def _systemd_below(pid: int) -> int:
    """Return the host's process id of systemd among the descendants of a process, 0 if none."""
    try:
        if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
            return pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return next(filter(None, map(_systemd_below, map(int, children))), 0)
