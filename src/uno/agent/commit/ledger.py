"""The directory of a cell: the package that it has accepted, and what it will accept.

    DIR/package.uvn-agent     the accepted package
    DIR/previous.uvn-agent    the one before it
    DIR/staged.uvn-agent      a package that waits for activation by the registry
    DIR/install.json          the last package that a person has installed: see `InstallRequest`
    DIR/pending-commit.json   until the accepted package is confirmed: see `PendingCommit`
    DIR/deferred-links.json   links that differ from the accepted package, with their secrets
    DIR/state.json            which messages of the registry are handled: see `PersistentState`
    DIR/trust.json            whose keys are revoked, and the registry's keys: see `TrustRecord`
    DIR/before-uno.json       what the host was before uno: see `host.host_state`
    DIR/directory.json        the registry's public facts, for people: see `DirectoryFile`
    DIR/events.db             what has happened, for the page: see `EventStore`
    DIR/ledger.lock           held while a process writes here

The first package pins the registry's key, the UVN and the cell. From then on generations only rise.
An older generation is refused, and so is the same one with other content; the same one with the
same content is accepted and changes nothing. What is refused or fails leaves the directory as it
was. The registry's key is replaced by one that it has signed, and then by no earlier one.

Packages are read without what is revoked, whatever generation they are of. A cell never rolls back
to a package with another signing key of its own: the registry replaces that key if it was stolen.

Every step from one package to the next is one rename. A crash between two steps leaves what
`Ledger.cell_state` understands: a pending commit of any package but the accepted one has not begun,
or has ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace as altered

from uno import files
from uno.agent.commit.commit_machine import CellState, PendingCommit, PersistentState
from uno.agent.commit.control_path import moves_control
from uno.agent.commit.drain_plan import DeferredLinks
from uno.diagnostics import ActionNeeded, UnoError
from uno.model import codec
from uno.model.messages import Envelope
from uno.model.package import Manifest, Package, SignedManifest
from uno.model.trust import TrustUpdate, merged, newest_key, obeying, replaced_keys
from uno.render import package_file
from uno.render.package_file import OtherFormat, PackageRejected

CURRENT = "package.uvn-agent"
PREVIOUS = "previous.uvn-agent"
STAGED = "staged.uvn-agent"
PENDING = "pending-commit.json"
STATE = "state.json"
DEFERRED = "deferred-links.json"
TRUST = "trust.json"
INSTALL = "install.json"
LOCK = "ledger.lock"

# The most bytes that a record of uno has.
_RECORD_LIMIT = 1 << 20


class AcceptOutcome(StrEnum):
    """The result of accepting a package."""

    FIRST = "first"
    NEWER = "newer"
    SAME = "same"


class AcceptedPackage(Struct, frozen=True, kw_only=True):
    """A package that is the current one. `replaced` is the generation before it, if any."""

    outcome: AcceptOutcome
    package: Package
    replaced: int | None = None


class TrustRecord(Struct, frozen=True, kw_only=True):
    """What a cell obeys beside its package, and the registry's statement that it came in, if any.

    Without a statement it follows from the packages themselves: a chain of the registry's keys, and
    cells that have new signing keys.
    """

    update: TrustUpdate = TrustUpdate()
    statement: Envelope | None = None


class InstallRequest(Struct, frozen=True, kw_only=True):
    """An installation of a package by a person: `install` and `keep` as in `InstalledPackage`."""

    install: str
    generation: int
    keep: bool = False


class _DeferredRecord(Struct, frozen=True):
    of: dict[int, DeferredLinks]


_Record = TypeVar("_Record", bound=Struct)


class Ledger:
    """The packages in one directory; many processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, which need not exist yet."""
        self.directory = directory

    def current(self) -> Package | None:
        """Return the accepted package, if there is one. Raises UnoError if it cannot be read."""
        return self._read(CURRENT)

    def previous(self) -> Package | None:
        """Return the package to roll back to, if there is one that can be read.

        One with another signing key of the cell is none: its keys are revoked.
        """
        current, previous = self._read_if_whole(CURRENT), self._read_if_whole(PREVIOUS)
        if current and previous and current.own.sign_key != previous.own.sign_key:
            return None
        return previous

    def trust(self) -> TrustRecord:
        """Return what the cell obeys beside its package."""
        return self._record(TRUST, TrustRecord) or TrustRecord()

    def obey(self, update: TrustUpdate, statement: Envelope) -> None:
        """Record the registry's statement on trust. What the packages revoked stays so."""
        with files.locked(self.directory / LOCK):
            known = self.trust().update
            kept = TrustUpdate(
                registry_keys=update.registry_keys or known.registry_keys,
                cells=merged(update.cells, (it for it in known.cells if it.before is not None)),
                particles=update.particles,
            )
            self._write_record(TRUST, TrustRecord(update=kept, statement=statement))

    def proof(self) -> SignedManifest | None:
        """Return the signed manifest of the current package, None if it cannot be read."""
        try:
            content = files.read(self.directory / CURRENT, limit=package_file.PACKED_LIMIT)
            return package_file.read_proof(content)
        except UnoError:
            return None

    def accept(
        self,
        content: bytes,
        *,
        registry_key: str | None = None,
        install: str = "",
        keep: bool = False,
    ) -> AcceptedPackage:
        """Make a package the current one, or raise PackageRejected and change nothing.

        `registry_key` is the key or fingerprint of the only registry to trust. `install` identifies
        the installation to the agent, which puts the package on trial unless it is to `keep` it.
        The directory is created if it is missing. Raises UnoError if it belongs to another user or
        cannot be written.
        """
        offered = package_file.read_manifest(content, registry_key=registry_key)
        self._refuse_foreign()
        made = () if self.directory.is_dir() else files.make_private_dir(self.directory)
        try:
            with files.locked(self.directory / LOCK):
                request = InstallRequest(install=install, generation=offered.generation, keep=keep)
                return self._accept(offered, content, request)
        except BaseException:
            files.remove_dirs(made)
            raise

    def staged(self) -> Package | None:
        """Return the package that waits to be activated, if there is one that can be read."""
        return self._read_if_whole(STAGED)

    def cell_state(self) -> CellState:
        """Return the generations in the ledger. Raises UnoError if there is no package."""
        current = self._current()
        previous, staged = self.previous(), self.staged()
        running = current.manifest.generation
        pending = self._record(PENDING, PendingCommit)
        if pending is not None and pending.generation != running:
            pending = None
        return CellState(
            running=running,
            previous=_older(previous, running),
            staged=_newer(staged, running),
            pending=pending,
            staged_moves_control=staged is not None and moves_control(current, staged),
            persistent=self.persistent_state(),
        )

    def stage(self, content: bytes) -> AcceptOutcome:
        """Keep a package until it is activated, or raise PackageRejected and change nothing.

        `SAME` means that it is the accepted one. Raises UnoError if it cannot be written.
        """
        offered = package_file.read_manifest(content)
        with files.locked(self.directory / LOCK):
            current = self._current()
            _refuse_misfit(current.manifest, offered, trusted=self._trusted_key(current.manifest))
            _parsed(content)
            if offered == current.manifest:
                return AcceptOutcome.SAME
            waiting = self.staged()
            if waiting is not None and waiting.manifest.generation == offered.generation:
                _refuse_misfit(waiting.manifest, offered, trusted=waiting.manifest.registry_key)
            files.write_if_changed(self.directory / STAGED, content)
            return AcceptOutcome.NEWER

    def discard(self) -> None:
        """Remove the staged package, if there is one."""
        with files.locked(self.directory / LOCK):
            files.remove(self.directory / STAGED)

    def activate(self, pending: PendingCommit) -> Package:
        """Make the staged package the accepted one, with a pending commit, and return it.

        Raises UnoError, and then the accepted package is the one before.
        """
        with files.locked(self.directory / LOCK):
            staged = self.staged()
            if staged is None or staged.manifest.generation != pending.generation:
                raise ActionNeeded(f"no package of generation {pending.generation} is staged")
            current = self._current()
            trusted = self._trusted_key(current.manifest)
            _refuse_misfit(current.manifest, staged.manifest, trusted=trusted)
            self._pin(current, staged)
            self._write_record(PENDING, pending)
            files.share(self.directory / CURRENT, self.directory / PREVIOUS)
            files.rename(self.directory / STAGED, self.directory / CURRENT)
            return staged

    def put_pending(self, pending: PendingCommit) -> None:
        """Record a pending commit for the accepted package, which a person has installed."""
        with files.locked(self.directory / LOCK):
            self._write_record(PENDING, pending)

    def confirm(self) -> None:
        """Remove the pending commit: the accepted package stays."""
        with files.locked(self.directory / LOCK):
            files.remove(self.directory / PENDING)

    def install_request(self) -> InstallRequest | None:
        """Return the last installation by a person of the accepted package, None if none was."""
        found = self._record(INSTALL, InstallRequest)
        current = self.current()
        if found is None or current is None or found.generation != current.manifest.generation:
            return None
        return found

    def persistent_state(self) -> PersistentState:
        """Return what is kept across restarts. Raises UnoError if this user may not read it."""
        return self._record(STATE, PersistentState) or PersistentState()

    def persist(self, state: PersistentState) -> None:
        """Record the persistent state."""
        self._write_record(STATE, state)

    def deferred(self) -> dict[int, DeferredLinks]:
        """Return the deferred links, by the generation of the package that runs with them."""
        found = self._record(DEFERRED, _DeferredRecord)
        return found.of if found else {}

    def defer(self, deferred: Mapping[int, DeferredLinks]) -> None:
        """Record the links that are deferred under packages of these generations."""
        kept = {generation: each for generation, each in deferred.items() if each.links}
        if kept or (self.directory / DEFERRED).exists():
            self._write_record(DEFERRED, _DeferredRecord(kept))

    def roll_back(self) -> Package:
        """Make the previous package the current one again, and return it.

        A generation that was rolled back is accepted again if it is offered again.
        """
        with files.locked(self.directory / LOCK):
            before = self.previous()
            if before is None:
                raise ActionNeeded(f"there is no package to roll back to in {self.directory}")
            # A rename works on a full disk too.
            files.rename(self.directory / PREVIOUS, self.directory / CURRENT)
            files.remove(self.directory / PENDING)
            return before

    def _current(self) -> Package:
        current = self.current()
        if current is None:
            raise ActionNeeded(f"there is no cell in {self.directory}")
        return current

    def _record(self, name: str, kind: type[_Record]) -> _Record | None:
        path = self.directory / name
        if not path.exists():
            return None
        try:
            return codec.decode(files.read(path, limit=_RECORD_LIMIT), kind)
        except (codec.MalformedJson, UnoError):
            # uno writes records atomically, so this is not its own, or the disk is worn. A cell
            # runs without it.
            return None

    def _write_record(self, name: str, record: Struct) -> None:
        files.write_if_changed(self.directory / name, codec.encode(record))

    def _accept(
        self, manifest: Manifest, content: bytes, request: InstallRequest
    ) -> AcceptedPackage:
        # Again, now under the lock: another process may have accepted a package.
        self._refuse_foreign()
        current = self.current()
        if current is None:
            return self._accept_first(package_file.read(content), content)
        # Before the rest is unpacked, so that only the pinned registry can make us unpack it.
        trusted = self._trusted_key(current.manifest)
        _refuse_misfit(current.manifest, manifest, trusted=trusted)
        offered = package_file.read(content)
        replaced = current.manifest.generation
        if request.install:
            # Before the package, so that the agent finds it with the package.
            self._write_record(INSTALL, request)
        if manifest == current.manifest:
            return AcceptedPackage(outcome=AcceptOutcome.SAME, package=current, replaced=replaced)
        before = files.read(self.directory / CURRENT, limit=package_file.PACKED_LIMIT)
        files.make_private_dir(self.directory)
        self._pin(current, offered)
        files.write_together({self.directory / PREVIOUS: before, self.directory / CURRENT: content})
        return AcceptedPackage(outcome=AcceptOutcome.NEWER, package=offered, replaced=replaced)

    def _accept_first(self, offered: Package, content: bytes) -> AcceptedPackage:
        files.make_private_dir(self.directory)
        files.write_atomic(self.directory / CURRENT, content)
        return AcceptedPackage(outcome=AcceptOutcome.FIRST, package=offered)

    def _trusted_key(self, current: Manifest) -> str:
        """Return the registry's newest key that the cell has seen."""
        chain = self.trust().update.registry_keys
        return newest_key(current.registry_key, chain, identity=current.identity)

    def _pin(self, current: Package, new: Package) -> None:
        """Record the registry's keys and the replaced keys of cells that `new` has."""
        record, manifest = self.trust(), new.manifest
        known = record.update
        trusted = self._trusted_key(current.manifest)
        is_newer = trusted != manifest.registry_key
        update = altered(
            known,
            registry_keys=manifest.registry_keys if is_newer else known.registry_keys,
            cells=merged(known.cells, replaced_keys(current, new)),
        )
        if update != known:
            self._write_record(TRUST, altered(record, update=update))

    def _read(self, name: str) -> Package | None:
        path = self.directory / name
        try:
            if not path.exists():
                return None
        except OSError as error:
            raise files.failure(error, f"cannot read {path}") from error
        try:
            package = _parsed(files.read(path, limit=package_file.PACKED_LIMIT))
        except OtherFormat as error:
            raise OtherFormat(f"{path} is whole, but {error.what}", error.hint) from error
        except PackageRejected as error:
            raise PackageRejected(
                f"{path} is damaged: {error.what}",
                f"move {self.directory} away, and install the cell's package again",
            ) from error
        return obeying(package, self.trust().update)

    def _read_if_whole(self, name: str) -> Package | None:
        """Return a package that the cell runs without: a worn disk may have damaged it."""
        try:
            return self._read(name)
        except UnoError:
            return None

    def _refuse_foreign(self) -> None:
        """Refuse a directory that another user owns, or that holds other files than a ledger."""
        directory = self.directory
        try:
            names = {path.name for path in directory.iterdir()}
            owner = directory.stat().st_uid
        except FileNotFoundError:
            return
        except OSError as error:
            raise files.failure(error, f"cannot use {directory}") from error
        if CURRENT in names:
            return
        if any(name != LOCK and not files.is_leftover(name) for name in names):
            raise ActionNeeded(
                f"{directory} is not empty, and is not the directory of a cell",
                "name a directory that is empty or does not exist",
            )
        # The owner of the directory can replace the package, and the agent runs as root.
        if owner != os.geteuid():
            raise ActionNeeded(
                f"{directory} belongs to user {owner}",
                "name a directory that does not exist, or make it your own with chown",
            )


# The current, the previous and the staged package are read in every step of a change.
@lru_cache(maxsize=3)
def _parsed(content: bytes) -> Package:
    return package_file.read(content)


def _newer(staged: Package | None, running: int) -> int | None:
    """Return the generation of a staged package, unless a newer one was installed by hand."""
    generation = staged.manifest.generation if staged else running
    return generation if generation > running else None


def _older(previous: Package | None, running: int) -> int | None:
    """Return the generation to roll back to; a crash may leave the same package twice."""
    generation = previous.manifest.generation if previous else running
    return generation if generation < running else None


def _refuse_misfit(current: Manifest, offered: Manifest, *, trusted: str) -> None:
    """Raise PackageRejected unless `offered` may follow `current`, or is the same.

    `trusted` is the registry's newest key that the cell has seen.
    """
    elsewhere = "install it in another directory, with -r"
    if offered.identity != current.identity:
        raise PackageRejected(
            f"this package is of UVN {offered.uvn}, not of the UVN {current.uvn} that is here",
            elsewhere,
        )
    if offered.cell != current.cell:
        raise PackageRejected(
            f"this package is for cell {offered.cell_name}, and this is cell {current.cell_name}",
            elsewhere,
        )
    followed = newest_key(trusted, offered.registry_keys, identity=current.identity)
    if offered.registry_key != followed:
        raise PackageRejected(
            "this package was signed by another registry than those before it,"
            f" with the key {package_file.fingerprint(offered.registry_key)}",
            f"this cell trusts {package_file.fingerprint(trusted)}, and keys signed with it, alone;"
            " to trust another registry, install in another directory",
        )
    if offered.generation < current.generation:
        raise PackageRejected(
            f"this package is generation {offered.generation},"
            f" older than the generation {current.generation} that is here",
            "copy the newest package from the registry",
        )
    if offered.generation == current.generation and offered != current:
        raise PackageRejected(
            f"this package is generation {offered.generation} as is the one here,"
            " and its content is another",
            "the registry has an older state (was it restored?): make a new generation there",
        )
