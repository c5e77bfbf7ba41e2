"""What is observed on a cell's host for its checks: values, each or the reason why it is missing.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from uno.diagnosis.service_status import ServiceStatus
from uno.model.net import Address, Network
from uno.model.status import UndonePackage, UvnView
from uno.ports.host import Facts, KernelPath

T = TypeVar("T")


class NotObserved(Struct, frozen=True):
    """`why` something is not known."""

    why: str


class Unobserved(Exception):
    """A check needs what was not observed; its text is why."""


def observed(value: T | NotObserved) -> T:
    """Return a value that was observed. Raises `Unobserved`."""
    if isinstance(value, NotObserved):
        raise Unobserved(value.why)
    return value


class DiskSpace(Struct, frozen=True, kw_only=True):
    """The file system of `path`: bytes, and inodes, None where it has any number."""

    path: str
    free: int
    total: int
    free_inodes: int | None = None
    read_only: bool = False


class ClockReading(Struct, frozen=True, kw_only=True):
    """The host's clock, in seconds since the epoch, and what it is compared with.

    `newest` is when the newest file of uno's, `path`, was written.
    """

    now: int
    newest: int
    path: str


class AgentProcess(Struct, frozen=True, kw_only=True):
    """The cell's agent. `wanted`: a unit of systemd starts it. `crashed`: it ended unasked."""

    runs: bool
    wanted: bool = False
    crashed: bool = False


class LanHost(Struct, frozen=True, kw_only=True):
    """A host of a LAN that this host knows: whether it answers, and whom.

    `answers_cell`: an echo request from the cell's own address in the LAN. `answers_sites`: one
    with a source in a LAN of another site, whose answer has to come back to this host.
    """

    lan: Network
    nic: str
    address: Address
    is_router: bool
    answers_cell: bool
    answers_sites: bool


class CellFacts(Struct, frozen=True, kw_only=True):
    """The host of one cell.

    `service` is the host compared with its package, and `proof` part of it. `view` is what the
    agent has, None where none runs. `resolved` maps each endpoint of the package (`host:port`) to
    its addresses, each with the port. `taken` are UDP ports of the package that another program
    has. `paths` are where the kernel sends packets from the cell's LANs to LANs of other cells.
    `undone` is the last change, if the cell has rolled back from it. `lacking` are programs that
    are not installed, `has_wireguard` whether the kernel or a program provides it.
    """

    directory: str
    host: Facts | NotObserved
    service: ServiceStatus | NotObserved
    view: UvnView | NotObserved | None
    agent: AgentProcess | NotObserved
    clock: ClockReading | NotObserved
    disks: tuple[DiskSpace, ...] | NotObserved
    resolved: Mapping[str, tuple[str, ...]] | NotObserved
    taken: frozenset[int] | NotObserved
    paths: Mapping[Network, KernelPath] | NotObserved
    lan_hosts: tuple[LanHost, ...] | NotObserved
    has_wireguard: bool | NotObserved
    lacking: tuple[str, ...] | NotObserved
    undone: UndonePackage | NotObserved | None
