"""What can be in the way of `uno service up`, put there for real and taken away again."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import foreign

from uno.lab import netns
from uno.lab.node import Node


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Something that is in the way of `up`, and the fragments that its message must have."""

    name: str
    put: Callable[[Node], AbstractContextManager[None]]
    fragments: tuple[str, ...]


@contextmanager
def shim(node: Node, program: str, *, fails: str, after: int = 0) -> Iterator[None]:
    """Have a program fail when its arguments match, from the so-many-th time on."""
    count = node.directory / "count"
    count.write_text("")
    script = f"""\
case "$*" in {fails})
  echo >>{count}
  if [ $(wc -l <{count}) -gt {after} ]; then echo "no luck today" >&2; exit 3; fi ;;
esac
exec "$real" "$@"
"""
    with replaced(node, program, script):
        yield


@contextmanager
def replaced(node: Node, program: str, script: str) -> Iterator[None]:
    """Have a shell script in place of a program, which it has as `$real`."""
    path = Path(shutil.which(program) or program)
    # A copy in a folder of its own keeps the name, which some programs look at.
    real = node.directory / "real" / path.name
    real.parent.mkdir(exist_ok=True)
    shutil.copy(path, real)
    fake = node.directory / "fake"
    fake.write_text(f"#!/bin/sh\nreal={real}\n{script}")
    fake.chmod(0o755)
    with mounted(node, ["--bind", str(fake)], str(path)):
        yield


@contextmanager
def mounted(node: Node, what: list[str], where: str) -> Iterator[None]:
    node.run(["mount", *what, where])
    try:
        yield
    finally:
        node.run(["umount", where])


@contextmanager
def read_only(node: Node, where: str) -> Iterator[None]:
    """Have what is mounted at a path, or below it, be read-only."""
    with mounted(node, ["--bind", where], where):
        node.run(["mount", "-o", "remount,bind,ro", where])
        yield


@contextmanager
def full(node: Node, where: Path) -> Iterator[None]:
    """Have a directory, with what is in it, be on a disk without room."""
    small = node.directory / "small"
    small.mkdir()
    try:
        with mounted(node, ["-t", "tmpfs", "-o", "size=1m,mode=700", "none"], str(small)):
            node.run(["cp", "-a", f"{where}/.", str(small)])
            node.run(["dd", "if=/dev/zero", f"of={small}/filler", "bs=4k"], check=False)
            with mounted(node, ["--bind", str(small)], str(where)):
                yield
    finally:
        small.rmdir()


@contextmanager
def done_and_undone(node: Node, do: str, undo: str) -> Iterator[None]:
    node.run(["sh", "-c", do])
    try:
        yield
    finally:
        node.run(["sh", "-c", undo])


@contextmanager
def port_taken(node: Node, kind: socket.SocketKind, port: int) -> Iterator[None]:
    with netns.socket_in(node.namespace, socket.AF_INET, kind) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        taken.bind(("", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        yield


@contextmanager
def docker_without_restore(node: Node) -> Iterator[None]:
    foreign.docker(node)
    with shim(node, "iptables-restore", fails="*"):
        yield
    node.run(["nft", "delete table ip filter; delete table ip6 filter"])


OBSTACLES = (
    Obstacle(
        name="unreachable routes",
        put=lambda n: shim(n, "ip", fails="-batch*"),
        fragments=("could not add 8 unreachable routes", "`ip -batch -`", "no luck today"),
    ),
    Obstacle(
        name="firewall",
        put=lambda n: shim(n, "nft", fails="-f*"),
        fragments=("could not replace the firewall table", "`nft -f -`", "no luck today"),
    ),
    Obstacle(
        name="docker",
        put=docker_without_restore,
        fragments=("could not accept uno's interfaces in", "iptables-restore", "no luck today"),
    ),
    Obstacle(
        name="node",
        put=lambda n: shim(n, "ip", fails="-batch*", after=1),
        fragments=("could not set the node's addresses", "no luck today"),
    ),
    Obstacle(
        name="third tunnel",
        put=lambda n: shim(n, "wg", fails="setconf*uwg-b2*"),
        fragments=("could not create interface uwg-b2", "`wg setconf uwg-b2", "no luck today"),
    ),
    Obstacle(
        name="particles",
        put=lambda n: shim(n, "wg", fails="setconf*uwg-p1*"),
        fragments=("could not create interface uwg-p1", "no luck today"),
    ),
    Obstacle(
        name="userspace WireGuard",
        put=lambda n: shim(n, "wireguard-go", fails="*uwg-b1*"),
        fragments=("could not create interface uwg-b1", "wireguard-go", "no luck today"),
    ),
    Obstacle(
        name="UDP port",
        put=lambda n: port_taken(n, socket.SOCK_DGRAM, 63551),
        fragments=(
            "could not create interface uwg-b1",
            "in use",
            "find the program that uses UDP port 63551",
        ),
    ),
    Obstacle(
        name="BGP port",
        put=lambda n: port_taken(n, socket.SOCK_STREAM, 1790),
        fragments=("could not start routing", "1790"),
    ),
    Obstacle(
        name="kernel parameters",
        put=lambda n: done_and_undone(
            n,
            "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys",
            "umount /proc/sys",
        ),
        fragments=("cannot set the kernel parameter", "Read-only file system", "needs to be root"),
    ),
    Obstacle(
        name="zebra",
        put=lambda n: shim(n, "/usr/lib/frr/zebra", fails="-d*"),
        fragments=("could not start routing", "no luck today"),
    ),
    Obstacle(
        name="bgpd",
        put=lambda n: shim(n, "/usr/lib/frr/bgpd", fails="-d*"),
        fragments=("could not start routing", "no luck today"),
    ),
    Obstacle(
        name="watchdog",
        put=lambda n: shim(n, "/usr/lib/frr/watchfrr", fails="*"),
        fragments=("could not start routing", "watchfrr"),
    ),
    Obstacle(
        name="no FRR",
        put=lambda n: mounted(n, ["-t", "tmpfs", "none"], "/usr/lib/frr"),
        fragments=("this host has no /usr/lib/frr/zebra", "frr frr-pythontools"),
    ),
    Obstacle(
        name="an interface that uno does not own",
        put=lambda n: done_and_undone(n, "ip link add uwg-b0 type bridge", "ip link del uwg-b0"),
        fragments=("interface uwg-b0 exists and is not uno's", "remove or rename it"),
    ),
    Obstacle(
        name="a node interface that uno does not own",
        put=lambda n: done_and_undone(n, "ip link add uno0 type bridge", "ip link del uno0"),
        fragments=("interface uno0 exists and is not uno's",),
    ),
    Obstacle(
        name="/run cannot be written",
        put=lambda n: mounted(n, ["-t", "tmpfs", "-o", "ro", "none"], "/run/uno"),
        fragments=("cannot lock /run/uno/", "the file system is read-only"),
    ),
)
