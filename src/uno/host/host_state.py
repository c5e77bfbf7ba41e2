"""State of a host that uno records between runs; in /run, as it ends with a reboot.

The values from before uno cannot be observed again. They are also kept in the cell's directory,
since /run may be lost while the network runs: with a container that is replaced, for example.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.files import make_open_dir, remove, write_atomic, write_if_changed
from uno.host.endpoint_choice import EndpointHistory
from uno.model.codec import MalformedJson, decode, encode

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/net")
# include/uapi/asm-generic/socket.h
_SO_NETNS_COOKIE = 71


class TunnelNote(Struct, frozen=True, kw_only=True):
    """What was configured, where the kernel shows something else: resolved names, ports drawn.

    By public key, `endpoints` are as written, `attempts` the addresses configured.
    `table` is the interface's own routing table, which outlives the interface.
    """

    port: int | None = None
    endpoints: dict[str, str] = {}
    attempts: dict[str, EndpointHistory] = {}
    table: int | None = None


class HostState(Struct, frozen=True, kw_only=True):
    """The file's content.

    `sysctls` are values from before uno; `node` is the interface of the node's addresses;
    `firewall` is the ruleset as given, `listing` as nft then listed it. `translated` are the IP
    versions of which others translated source addresses when uno turned forwarding on, None if it
    has not.
    """

    node: str | None = None
    sysctls: dict[str, str] = {}
    tunnels: dict[str, TunnelNote] = {}
    firewall: str | None = None
    listing: str | None = None
    translated: tuple[int, ...] | None = None

    def owns(self, interface: str) -> bool:
        """Whether uno created, or was about to create, an interface of this name."""
        return interface == self.node or interface in self.tunnels


class _Originals(Struct, frozen=True, kw_only=True):
    """What the copy has. It is of no use after a reboot, nor in another network namespace."""

    kernel: str
    sysctls: dict[str, str] = {}
    translated: tuple[int, ...] | None = None


class StateFile:
    """The state of one cell on this host."""

    def __init__(self, path: Path, *, copy: Path | None = None) -> None:
        """Keep the state in `path`; a file that cannot be decoded counts as missing.

        What has been there before uno is kept in `copy` too, if given, for when `path` is lost.
        """
        self._path = path
        self._copy = copy
        # What was read last, and from which file: each write makes another.
        self._known: tuple[tuple[int, int, int], HostState] | None = None

    def read(self) -> HostState:
        """Return what was last written, by this process or another."""
        try:
            there = self._path.stat()
            mark = there.st_ino, there.st_mtime_ns, there.st_size
            if self._known is None or self._known[0] != mark:
                self._known = mark, decode(self._path.read_bytes(), HostState)
        except (FileNotFoundError, MalformedJson):
            found = self._read_copy()
            return HostState(sysctls=found.sysctls, translated=found.translated)
        return self._known[1]

    def exists(self) -> bool:
        """Whether something was recorded since the last boot."""
        return self._path.exists()

    def write(self, state: HostState) -> None:
        """Write `state` atomically, unless the file has it already."""
        if state == self.read() and (self.exists() or state == HostState()):
            return
        # Before the file: a process that ends between the two must not lose values with /run.
        self._write_copy(state)
        make_open_dir(self._path.parent)
        write_atomic(self._path, encode(state), durable=False)

    def remove(self) -> None:
        """Remove what is kept beside the file, of a cell that owns nothing on this host any more.

        Raises `UnoError`.
        """
        if self._copy is not None:
            remove(self._copy)

    def note_tunnel(self, name: str, note: TunnelNote | None) -> None:
        """Record what was configured on an interface; None deletes the record."""
        state = self.read()
        others = {key: value for key, value in state.tunnels.items() if key != name}
        self.write(replace(state, tunnels=others if note is None else {**others, name: note}))

    def note_node(self, name: str | None) -> None:
        """Record the interface of the node's addresses; None deletes the record."""
        self.write(replace(self.read(), node=name))

    def note_sysctl(self, key: str, original: str | None) -> None:
        """Record the first value of a kernel parameter; None deletes the record."""
        state = self.read()
        if original is None:
            kept = {name: value for name, value in state.sysctls.items() if name != key}
        else:
            kept = {key: original, **state.sysctls}
        self.write(replace(state, sysctls=kept))

    def note_translated(self, versions: Iterable[int]) -> None:
        """Record of which IP versions others translate source addresses, the first time."""
        state = self.read()
        if state.translated is None:
            self.write(replace(state, translated=tuple(versions)))

    def note_firewall(self, ruleset: str | None, listing: str | None) -> None:
        """Record the firewall's ruleset, and its listing by nft."""
        self.write(replace(self.read(), firewall=ruleset, listing=listing))

    def _read_copy(self) -> _Originals:
        nothing = _Originals(kernel="")
        if self._copy is None:
            return nothing
        try:
            found = decode(self._copy.read_bytes(), _Originals)
        except (OSError, MalformedJson):
            return nothing
        return found if found.kernel == _running_kernel() else nothing

    def _write_copy(self, state: HostState) -> None:
        if self._copy is None:
            return
        kept = _Originals(
            kernel=_running_kernel(), sysctls=state.sysctls, translated=state.translated
        )
        # A card that is worn is read-only, and the network comes up all the same.
        with suppress(UnoError):
            write_if_changed(self._copy, encode(kept), durable=False)


def _running_kernel() -> str:
    """Return what differs after a reboot, and in another network namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            # SO_NETNS_COOKIE (Linux 5.14): unlike an inode's number, never given again.
            namespace = any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8).hex()
        except OSError:
            namespace = str(_NAMESPACE.stat().st_ino)
    return f"{_BOOT_ID.read_text().strip()} {namespace}"
