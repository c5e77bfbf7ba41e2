"""Everything that changes a registry. Each operation makes one generation, or none.

The order is always the same: edit the definition, check it, plan, generate the missing keys, store
all of it in one transaction, and then write the files that follow from it. An interruption before
the transaction leaves the registry unchanged; after it, the next command that opens the registry
completes the files (`package_files.heal`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from uno import files
from uno.diagnostics import InternalError, Problem, Severity, UnoError, refuse_errors
from uno.model import checks, package_formats
from uno.model.checks.finding import Finding
from uno.model.checks.finding import Path as Place
from uno.model.key_ids import WEB_ROOT, hub_seed, particle_seed
from uno.model.package import RegistryKey
from uno.model.plan import Plan
from uno.model.trust import successor
from uno.model.uvn import Uvn
from uno.planning import invariants, planner
from uno.registry.changes import change_lines, key_selection, revocation
from uno.registry.changes.dry_run import planned_files, planned_generation
from uno.registry.changes.edits import Edited
from uno.registry.changes.key_selection import KeySelection
from uno.registry.publish import cell_packages, package_files, particle_packages
from uno.registry.publish import keygen as keys
from uno.registry.publish.package_files import Published
from uno.registry.store import agent_rows, directory, format_rows, trust_rows
from uno.registry.store.directory import Registry
from uno.registry.store.generation_store import Generation, Store, StoredSecret
from uno.statesync.envelope import signer

_log = logging.getLogger(__name__)

Edit = Callable[[Uvn], Edited]


class Author(Struct, frozen=True, kw_only=True):
    """The person who makes a change (USER@HOST), and the time."""

    who: str
    time: datetime


class Change(Struct, frozen=True, kw_only=True):
    """What an operation did, or, if `is_dry_run`, what it would do; then nothing was written.

    `before` is the number of the generation before and `parent` that generation, None for a new
    UVN; `before` and `after.number` are the same if there was nothing to change. `keys` counts the
    secrets that were drawn (those in place of others included), `revoked` those that are gone.
    `was_released` if an agent of the registry may have been in contact with cells before: it has
    released a generation, or the registry is restored.
    """

    before: int
    after: Generation
    lines: tuple[str, ...]
    published: Published
    warnings: tuple[Problem, ...] = ()
    parent: Generation | None = None
    keys: int = 0
    revoked: int = 0
    was_released: bool = False
    is_dry_run: bool = False

    @property
    def is_made(self) -> bool:
        """Whether there is a new generation."""
        return self.before != self.after.number


class _Decided(Struct, frozen=True, kw_only=True):
    """A sound plan, and the secrets that it takes.

    `selection` are the keys that were asked to be replaced; `registry_key` is the registry's new
    one, if it has one.
    """

    plan: Plan
    renewal: keys.Renewal
    selection: KeySelection = ()
    registry_key: RegistryKey | None = None


def define_uvn(
    root: Path,
    edited: Edited,
    *,
    by: Author,
    why: str = "",
    dry_run: bool = False,
    passphrase: str | None = None,
) -> Change:
    """Make a registry in `root`, empty or not there, with `edited` as its first generation.

    Its secrets are sealed with `passphrase` if there is one. Raises `Rejected` with every problem,
    and then leaves nothing behind. With `dry_run` nothing is written at all.
    """
    directory.require_empty(root)
    warnings = _check(edited, before=None)
    signing = keys.new_signing_key()
    decided = _decide(edited, None, {signing.id: signing})
    made = cell_packages.sources(decided.plan, decided.renewal.all, declared=edited.uvn)
    because = why or f"define uvn {edited.uvn.name}"

    def fill(store: Store) -> None:
        with store.transaction():
            if passphrase is not None:
                store.secret_table.seal(passphrase)
            store.put_secrets([signing])
            _record(store, edited.uvn, decided, made, by=by, why=because)

    def report(after: Generation, published: Published) -> Change:
        return Change(
            before=0,
            after=after,
            lines=_lines(None, edited.uvn, decided),
            published=published,
            warnings=warnings,
            keys=len(decided.renewal.made) + 1,
            is_dry_run=dry_run,
        )

    if dry_run:
        first = planned_generation(1, edited.uvn, decided.plan, time=by.time, who=by.who)
        return report(first, planned_files(None, decided.plan, made))
    with directory.created(root, fill) as registry:
        return report(registry.store.head(), package_files.publish(registry, made=made))


def change(
    registry: Registry,
    edit: Edit,
    *,
    by: Author,
    why: str,
    relayout: bool = False,
    dry_run: bool = False,
) -> Change:
    """Make the generation that `edit` leads to, unless it leads to what there is.

    With `relayout` the links are chosen as if there had been none before; those chosen again keep
    their numbers and keys. Raises `Rejected` with every problem, and then nothing was changed. With
    `dry_run` nothing is written at all, and the registry may be open for reading.
    """
    store = registry.store
    head, secrets = store.head(), store.secrets()
    edited = edit(head.uvn)
    formats = _formats(store, edited.uvn)
    warnings = (*_check(edited, before=head.uvn), *_format_warnings(formats, edited.uvn))
    parent = replace(head.plan, ring=()) if relayout else head.plan
    decided = _decide(edited, parent, secrets)
    # After a restore, laying out the same anew gives every cell a package that is newer for it.
    is_restored = store.numbering.jump is not None
    is_reissue = relayout and is_restored
    if _is_same(head, edited.uvn, decided) and not is_reissue:
        healed = Published() if dry_run else package_files.heal(registry)
        return Change(
            before=head.number,
            after=head,
            lines=(),
            published=healed,
            warnings=warnings,
            parent=head,
            is_dry_run=dry_run,
        )
    chain = trust_rows.read(store.database).registry_keys
    if decided.registry_key is not None:
        chain = (*chain, decided.registry_key)
    made = cell_packages.sources(
        decided.plan,
        decided.renewal.all,
        registry_keys=chain,
        package_format=formats.format,
        declared=edited.uvn,
    )
    new, gone = len(decided.renewal.made), len(decided.renewal.dropped)
    _log.debug("%d links, %d secrets made, %d dropped", len(decided.plan.links), new, gone)
    if dry_run:
        after = planned_generation(
            store.numbering.next, edited.uvn, decided.plan, time=by.time, who=by.who, why=why
        )
        published = planned_files(registry, decided.plan, made)
    else:
        with store.transaction():
            after = _record(store, edited.uvn, decided, made, by=by, why=why)
        published = package_files.publish(registry, made=made)
    return Change(
        before=head.number,
        after=after,
        lines=_lines(head, edited.uvn, decided),
        published=published,
        warnings=warnings,
        parent=head,
        keys=new,
        revoked=gone,
        was_released=is_restored or agent_rows.release(store.database) is not None,
        is_dry_run=dry_run,
    )


@contextmanager
def opened(root: Path, *, for_change: bool = False, dry_run: bool = False) -> Iterator[Registry]:
    """Open the registry in `root`, after completing what an interrupted command left to do.

    A read-only open never waits for the lock: work in progress is left to the command that does it.
    With `dry_run` nothing is completed, locked or written, whatever it is opened for.
    """
    with directory.opened(root, for_change=for_change and not dry_run) as registry:
        if dry_run:
            pass
        elif for_change:
            package_files.heal(registry)
        elif not package_files.is_complete(registry):
            _heal_unless_busy(registry)
        yield registry


def _heal_unless_busy(registry: Registry) -> None:
    if registry.store.secret_table.is_sealed:
        # A read-only command does not ask for the passphrase.
        _log.warning("not all cell and particle packages are written; uno packages writes them")
        return
    try:
        with files.locked(registry.layout.lock, wait_seconds=0):
            package_files.heal(registry)
    except UnoError as error:
        _log.warning("not all cell and particle packages are written: %s", error)


def _check(edited: Edited, *, before: Uvn | None) -> tuple[Problem, ...]:
    """Raise `Rejected` if `edited` has errors; return its warnings that `before` does not have."""
    known = {finding.what for finding in checks.check(before)} if before else set()
    known |= {problem.what for problem in edited.problems}
    added = [
        _problem(finding, edited.options)
        for finding in checks.check(edited.uvn)
        if finding.path not in edited.judged
        and (finding.severity is Severity.ERROR or finding.what not in known)
    ]
    return refuse_errors([*edited.problems, *added])


def _formats(store: Store, uvn: Uvn) -> package_formats.Agreement:
    cells = {cell.id for cell in uvn.cells}
    known = format_rows.advertised(store.database)
    return package_formats.agreed(
        {cell: newest for cell, newest in known.items() if cell in cells},
        newest=package_formats.FORMAT,
    )


def _format_warnings(found: package_formats.Agreement, uvn: Uvn) -> tuple[Problem, ...]:
    names = {cell.id: cell.name for cell in uvn.cells}
    lines = package_formats.lines(found, names, newest=package_formats.FORMAT)
    return tuple(Problem(what=each, severity=Severity.WARNING) for each in lines)


def _problem(finding: Finding, options: Mapping[Place, str]) -> Problem:
    above = (finding.path[:length] for length in range(len(finding.path), 0, -1))
    option = next((options[place] for place in above if place in options), None)
    return Problem(what=finding.what, hint=finding.hint, option=option, severity=finding.severity)


def _is_same(head: Generation, uvn: Uvn, decided: _Decided) -> bool:
    if decided.renewal.made:
        return False
    # The ring of the same links may start elsewhere; that is no reason to change.
    plan = replace(decided.plan, ring=head.plan.ring)
    return (uvn, plan) == (head.uvn, head.plan)


def _decide(edited: Edited, parent: Plan | None, secrets: Mapping[str, StoredSecret]) -> _Decided:
    plan = planner.plan(edited.uvn, parent)
    required = planner.required_keys(plan)
    wanted = keys.RequiredSecrets(
        pairs=frozenset(required.pairs),
        psks=frozenset(required.psks),
        seeds=_seeds(plan),
    )
    renewal = keys.renew(
        secrets,
        wanted,
        anew=key_selection.ids(edited.rekey, plan),
        stolen=key_selection.revoked_ids(edited.rekey, plan),
    )
    complete = planner.with_keys(plan, keys.public_keys(renewal.all.values()))
    if broken := invariants.broken_invariants(complete):
        raise InternalError(
            f"the plan for this would be unsound: {'; '.join(broken)}",
            "nothing was changed; this is a mistake in uno, please report it",
        )
    return _Decided(
        plan=complete,
        renewal=renewal,
        selection=edited.rekey,
        registry_key=_registry_key(plan, secrets, renewal),
    )


def _registry_key(
    plan: Plan, secrets: Mapping[str, StoredSecret], renewal: keys.Renewal
) -> RegistryKey | None:
    """Return the registry's new key, signed with the old one, if it is replaced."""
    old, new = secrets[keys.SIGNING], renewal.all[keys.SIGNING]
    if old.public == new.public:
        return None
    return successor(
        keys.text(new.public or b""),
        follows=keys.text(old.public or b""),
        identity=plan.identity,
        sign=signer(keys.text(old.private)),
    )


def _seeds(plan: Plan) -> frozenset[str]:
    return frozenset(
        (
            WEB_ROOT,
            *(particle_seed(particle.id) for particle in plan.particles),
            *(hub_seed(cell.member.id) for cell in particle_packages.serving(plan)),
        )
    )


def _record(
    store: Store,
    uvn: Uvn,
    decided: _Decided,
    made: cell_packages.Sources,
    *,
    by: Author,
    why: str,
) -> Generation:
    """Write the next generation, its keys and what its files are made of."""
    # After a restore, cells may have seen the numbers of packages with another content.
    known = {} if store.numbering.jump is not None else store.cell_packages()
    after = store.append(uvn=uvn, plan=decided.plan, time=by.time, who=by.who, why=why)
    _record_trust(store, uvn, decided, generation=after.number)
    format_rows.put_written(store.database, made.package_format)
    store.drop_secrets(decided.renewal.dropped)
    store.put_secrets(decided.renewal.made)
    store.set_cell_packages(cell_packages.rows(made, known, generation=after.number).values())
    store.set_particle_packages(
        particle_packages.rows(decided.plan, made, store.particle_packages()).values()
    )
    return after


def _record_trust(store: Store, uvn: Uvn, decided: _Decided, *, generation: int) -> None:
    before = trust_rows.read(store.database)
    update = revocation.revoked(before, uvn, decided.selection, generation=generation)
    if decided.registry_key is not None:
        chain = (*before.registry_keys, decided.registry_key)
        update = replace(update, registry_keys=chain)
    if update != before:
        trust_rows.put(store.database, update)


def _lines(before: Generation | None, uvn: Uvn, decided: _Decided) -> tuple[str, ...]:
    old = (before.uvn, before.plan) if before else None
    found = change_lines.lines(old, (uvn, decided.plan))
    replaced = key_selection.described(decided.plan, decided.renewal.replaced)
    return (*found, *(f"~ {line}" for line in replaced))
