"""Engines of containers for the tests of the image: podman, and Docker.

podman needs no daemon, and starts a container in any network namespace. Docker's daemon gives a
container its own, so that each host of a lab has a daemon, in the host's network, with the host's
names and what is uno's in its /run.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from watching import await_true

from uno.host.command import Completed, run, start
from uno.lab.node import Node

# Seconds for a container to end by itself.
GRACE = "20"
# The arguments: a directory, the host's /etc/hosts or an empty word, and a command.
WITH_OWN_FILES = """
mkdir -p /run/uno /run/wireguard "$1/uno" "$1/wireguard"
mount --bind "$1/uno" /run/uno
mount --bind "$1/wireguard" /run/wireguard
[ -z "$2" ] || mount --bind "$2" /etc/hosts
shift 2
exec "$@"
"""


class Engine(Protocol):
    """What starts containers, and ends them."""

    def call(
        self, host: Node | None, *words: str, check: bool = True, timeout: float = 120
    ) -> Completed:
        """Run the engine's program, for containers that are on `host`, or on none."""

    def network(self, host: Node) -> tuple[str, ...]:
        """The options that have a container use the network of a host."""

    def remove(self, host: Node | None, name: str) -> None:
        """End a container as `docker stop` does, and remove it."""

    def remove_all(self, host: Node, label: str) -> None:
        """Remove each container with that label, whatever its state."""


@dataclass(frozen=True)
class Podman:
    """podman, with the images of `packaging/image`."""

    argv: tuple[str, ...]
    config: str

    def call(
        self,
        host: Node | None,  # noqa: ARG002 - each container names its network
        *words: str,
        check: bool = True,
        timeout: float = 120,
    ) -> Completed:
        env = {"CONTAINERS_CONF": self.config}
        return run([*self.argv, *words], check=check, timeout=timeout, env=env)

    def network(self, host: Node) -> tuple[str, ...]:
        return (f"--network=ns:/run/netns/{host.namespace}",)

    def remove(self, host: Node | None, name: str) -> None:
        self.call(host, "rm", "--force", "--time", GRACE, name)

    def remove_all(self, host: Node, label: str) -> None:
        shown = self.call(host, "ps", "--all", "--quiet", "--filter", f"label={label}")
        for each in shown.stdout.split():
            self.call(host, "rm", "--force", "--depend", "--time", "5", each, check=False)


@dataclass(frozen=True)
class Docker:
    """Docker: a daemon in the network of each host, which has loaded the image from its file."""

    image_file: Path
    directory: Path
    stack: contextlib.ExitStack
    sockets: dict[str, str] = field(default_factory=dict)

    def call(
        self, host: Node | None, *words: str, check: bool = True, timeout: float = 120
    ) -> Completed:
        argv = ["docker", "--host", self._socket(host), *words]
        return run(argv, check=check, timeout=timeout)

    def network(self, host: Node) -> tuple[str, ...]:  # noqa: ARG002 - its daemon is there
        return ("--network=host",)

    def remove(self, host: Node | None, name: str) -> None:
        self.call(host, "stop", "--time", GRACE, name)
        self.call(host, "rm", "--force", name)

    def remove_all(self, host: Node, label: str) -> None:
        shown = self.call(host, "ps", "--all", "--quiet", "--filter", f"label={label}")
        for each in shown.stdout.split():
            self.call(host, "rm", "--force", each, check=False)

    def _socket(self, host: Node | None) -> str:
        name = "" if host is None else host.namespace
        if name not in self.sockets:
            self.sockets[name] = self._start(host)
        return self.sockets[name]

    def compose(self, host: Node, file: Path, *words: str, env: Mapping[str, str]) -> Completed:
        """Run Docker's compose for a host."""
        argv = ["docker", "--host", self._socket(host), "compose", "--file", str(file), *words]
        return run(argv, timeout=180, env={**os.environ, **env})

    def _start(self, host: Node | None) -> str:
        own = self.directory / ("none" if host is None else host.name)
        own.mkdir()
        socket = f"unix://{own}/socket"
        argv = [
            *(() if host is None else ("nsenter", f"--net=/run/netns/{host.namespace}")),
            *("unshare", "--mount", "--propagation=private", "sh", "-euc", WITH_OWN_FILES, "sh"),
            str(own / "run"),
            "" if host is None else str(host.directory / "etc/hosts"),
            *("dockerd", "--host", socket, "--pidfile", str(own / "pid")),
            *("--data-root", str(own / "data"), "--exec-root", str(own / "exec")),
            # The network is the lab's: the daemon changes nothing of it.
            *("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        ]
        daemon = start(argv, log=own / "log")
        self.stack.callback(daemon.stop, within=60)

        def answers() -> bool:
            assert daemon.status() is None, (own / "log").read_text()
            return run(["docker", "--host", socket, "info"], check=False).status == 0

        await_true(answers, "Docker's daemon answers", within=60)
        run(["docker", "--host", socket, "load", "-i", str(self.image_file)], timeout=300)
        return socket


@contextlib.contextmanager
def engine(directory: Path) -> Iterator[Engine]:
    """Yield the engine that `packaging/image` names: UNO_ENGINE, a command or `docker`."""
    chosen = shlex.split(os.environ["UNO_ENGINE"])
    if chosen[0] != "docker":
        yield Podman(tuple(chosen), os.environ["CONTAINERS_CONF"])
        return
    with contextlib.ExitStack() as stack:
        yield Docker(Path(os.environ["UNO_IMAGE_FILE"]), directory, stack)
