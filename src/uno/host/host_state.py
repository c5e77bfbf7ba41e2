"""State of a host that uno records between runs; in /run, as it ends with a reboot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from uno.files import make_open_dir, write_atomic
from uno.host.endpoint_choice import EndpointHistory
from uno.model.codec import MalformedJson, decode, encode


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


class StateFile:
    """The state of one cell on this host."""

    def __init__(self, path: Path) -> None:
        """Keep the state in `path`; a file that cannot be decoded counts as missing."""
        self._path = path
        # What was read last, and from which file: each write makes another.
        self._known: tuple[tuple[int, int, int], HostState] | None = None

    def read(self) -> HostState:
        """Return what was last written, by this process or another."""
        try:
            found = self._path.stat()
            mark = found.st_ino, found.st_mtime_ns, found.st_size
            if self._known is None or self._known[0] != mark:
                self._known = mark, decode(self._path.read_bytes(), HostState)
        except (FileNotFoundError, MalformedJson):
            return HostState()
        return self._known[1]

    def exists(self) -> bool:
        """Whether something was recorded since the last boot."""
        return self._path.exists()

    def write(self, state: HostState) -> None:
        """Write `state` atomically, unless the file has it already."""
        if state == self.read():
            return
        make_open_dir(self._path.parent)
        write_atomic(self._path, encode(state), durable=False)

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
