"""Machines: nodes with files, processes and a host name of their own, besides the network.

Each has a first process, as a container has: a shell that does nothing but hold the namespaces
and collect what its children leave. When it is killed the kernel ends everything else in there.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from uno.diagnostics import TransientFailure
from uno.host.command import run
from uno.lab import netns
from uno.model.net import Address

# What the first process of a machine runs, in the machine's directory; without it, it ends.
SCRIPT = "first-process.sh"
# Made in each machine's own /run and /var/log. FRR's daemons run as its own user.
_FOLDERS = ("run/uno", "run/wireguard", "run/frr", "run/lock", "run/netns", "log/frr", "etc")
_OF_FRR = ("run/frr", "log/frr")


def prepare_directory(directory: Path, names: Mapping[str, Address]) -> None:
    """Lay out a machine's private files in `directory`: its /run, /var/log, and parts of /etc.

    Also what its first process runs. All are real directories of the host, so that sockets and
    logs can be read from outside.
    """
    for name in _FOLDERS:
        (directory / name).mkdir(parents=True, mode=0o755)
    lines = ["127.0.0.1 localhost", "::1 localhost", f"127.0.1.1 {directory.name}"]
    lines += [f"{at} {name}" for name, at in sorted(names.items())]
    (directory / "etc/hosts").write_text("\n".join(lines) + "\n")
    (directory / "etc/resolv.conf").write_text("# A machine of a lab: names are in /etc/hosts.\n")
    _inside(directory, directory).mkdir(parents=True, exist_ok=True)
    resolver = Path(os.path.realpath("/etc/resolv.conf"))
    if resolver.is_relative_to("/run"):
        copy = _inside(directory, resolver)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(directory / "etc/resolv.conf", copy)
    if Path("/etc/frr").is_dir():
        shutil.copytree("/etc/frr", directory / "etc/frr")
        shutil.chown(directory / "etc/frr", "frr", "frr")
        for name in _OF_FRR:
            shutil.chown(directory / name, "frr", "frr")
    _write_script(directory)


def start_holders(machines: Iterable[tuple[str, Path]]) -> dict[str, tuple[int, int]]:
    """Start the first process of each machine: given as namespace and directory.

    Return the host's process id and start time of each, by the directory's name; they are ready.
    Raises `UnoError` if one does not start.
    """
    wanted = list(machines)
    started = "".join(
        f"setsid nsenter --net={netns.NAMES / namespace} unshare --mount --uts --pid "
        f"""sh -c '. "$1" & exit' sh {shlex.quote(str(directory / SCRIPT))} &\n"""
        for namespace, directory in wanted
    )
    # Each first process prints its id on our standard output, and closes it when it is ready.
    result = run(["sh", "-c", started + "wait"], check=False)
    pids = dict(line.split() for line in result.stdout.splitlines())
    holders = {name: (int(pid), netns.start_time(int(pid)) or 0) for name, pid in pids.items()}
    missing = [directory.name for _, directory in wanted if directory.name not in holders]
    if missing:
        raise TransientFailure(
            f"machines {', '.join(missing)} of the lab do not start: {result.stderr}"
        )
    return holders


def _inside(directory: Path, path: Path) -> Path:
    """Where something below the host's /run lies in the directory that the machine sees as /run."""
    return directory / "run" / path.relative_to("/run") if path.is_relative_to("/run") else path


def _write_script(directory: Path) -> None:
    mounts = [
        f"mount --bind {directory} {_inside(directory, directory)}",
        f"mount --bind {directory}/etc/hosts /etc/hosts",
        f"mount --bind {directory}/log /var/log",
    ]
    if not Path(os.path.realpath("/etc/resolv.conf")).is_relative_to("/run"):
        mounts.append(f"mount --bind {directory}/etc/resolv.conf /etc/resolv.conf")
    if Path("/etc/frr").is_dir():
        mounts.append(f"mount --bind {directory}/etc/frr /etc/frr")
    lines = "\n".join(mounts)
    (directory / SCRIPT).write_text(f"""\
set -e
# The /proc that is still mounted is the host's: it shows our id in the host's numbering.
read pid rest </proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo {directory.name} >/proc/sys/kernel/hostname
{lines}
# With its mounts, so that this directory is at its place inside too.
mount --rbind {directory}/run /run
# As initramfs-tools mounts it (Debian, Ubuntu), and systemd but for noexec.
mount -o remount,bind,nosuid,nodev,noexec /run
echo {directory.name} $pid
exec </dev/null >>{directory}/first-process.log 2>&1
# The first process of a namespace gets no signal that it does not handle: pid_namespaces(7).
trap 'exit 0' TERM
set +e
while :; do sleep 2147483647 & wait $!; done
""")
