"""The rollout of a release to the cells, as one state machine. Pure.

    staging ──▶ activating ──▶ settled          all reachable cells have confirmed
       │             └───────▶ failed, undone   a cell rolled back, or could not apply
       └─────────────────────▶ failed           a cell rejected its package: nothing was activated

A cell is activated only after it has acknowledged that its package is staged. The first activation
waits until all reachable cells have staged, or `RolloutLimits` run out. A cell that connects later
is staged and activated alone. A failed release is not tried again without a new attempt. Times are
of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from uno.controller.release_record import Release, ReleasedPackage
from uno.model.messages import CONFIRM_TIMEOUT, Ack, Phase
from uno.model.status import CellStatus


class CellObservation(Struct, frozen=True, kw_only=True):
    """What the registry has received from a cell.

    `status_sequence` and `ack_sequence` are those of `status` and `ack`. A cell numbers all of its
    advertisements in one sequence, so the higher one is the later. A cell is `alive` if it is in
    contact, with the registry or with other cells that are. It is `verified` if an advertisement
    came from the cell itself, or a relayed one was followed by a newer one: a single relayed one
    may be old. `proven` is the generation of the package that it has proved to run, by a manifest
    that this registry has signed; None without a proof.
    """

    alive: bool = False
    verified: bool = True
    status: CellStatus | None = None
    status_sequence: int = 0
    ack: Ack | None = None
    ack_sequence: int = 0
    proven: int | None = None

    @property
    def reachable(self) -> bool:
        """Whether the rollout waits for this cell."""
        return self.alive and self.verified

    @property
    def running(self) -> int | None:
        """The generation of the package that it runs, None if not known."""
        if self.ack is not None and self.ack_sequence > self.status_sequence:
            return self.ack.running
        return self.status.generation if self.status else None


class RolloutLimits(Struct, frozen=True, kw_only=True):
    """How long a rollout waits, in seconds.

    `discovery` is the wait for cells from which nothing was received since the registry started to
    receive, `staging` the wait for reachable cells that have not staged, `proof` that for cells to
    prove that they run generations that the registry does not have. `confirm_timeout` is that
    of the activation; `unreachable` is the wait for an activated cell that is unreachable.
    """

    discovery: float = 15.0
    staging: float = 30.0
    proof: float = 10.0
    confirm_timeout: float = CONFIRM_TIMEOUT
    unreachable: float = 300.0


LIMITS = RolloutLimits()

# Seconds that a cell may need to be reachable again after it rolled back.
_RECOVERY = 30.0

_FAILED_PHASES = frozenset({Phase.REVERTED, Phase.FAILED})
_UNDER_WAY = frozenset({Phase.APPLYING, Phase.APPLIED})


class Rollout(Struct, frozen=True, kw_only=True):
    """The state of a rollout.

    The registry receives advertisements since `receiving_since`; this rollout started at
    `started_at`. `activated` maps the activated cells to the generations of their packages; the
    last of them were activated at `activated_at`, and apply for `activation_duration`.
    `newest_generation` is that of the registry. `acks_before_offer` has the sequence of the newest
    ack of each cell from before its package was offered. `failure` is why the release was given up.
    """

    release: Release
    receiving_since: float
    started_at: float
    newest_generation: int
    activated: Mapping[int, int] = field(default_factory=dict)
    activated_at: float = 0.0
    activation_duration: float = 0.0
    settled: bool = False
    failure: str = ""
    acks_before_offer: Mapping[int, int] = field(default_factory=dict)

    def is_replaceable(self, now: float, limits: RolloutLimits = LIMITS) -> bool:
        """Whether a newer release may replace this one: no cell has a pending commit."""
        if not self.activated or self.settled or self.failure:
            return True
        pending = limits.confirm_timeout + self.activation_duration + _RECOVERY
        return now - self.activated_at >= pending


def step(
    rollout: Rollout,
    observed: Mapping[int, CellObservation],
    *,
    now: float,
    limits: RolloutLimits = LIMITS,
) -> Rollout:
    """Return the state that follows; cells that are new in `activated` are to be activated."""
    if rollout.failure:
        return rollout
    if not rollout.settled and (reasons := tuple(_failures(rollout, observed))):
        return replace(rollout, failure="; ".join(reasons))
    rollout = _note_offers(rollout, observed)
    if cells_ahead(rollout, observed):
        return rollout
    wave = _next_wave(rollout, observed, now, limits)
    if wave:
        activated = {**rollout.activated, **wave}
        rollout = replace(rollout, activated=activated, activated_at=now)
    if not rollout.settled and _is_settled(rollout, observed, now, limits):
        rollout = replace(rollout, settled=True)
    return rollout


def cells_to_offer(rollout: Rollout, observed: Mapping[int, CellObservation]) -> frozenset[int]:
    """Return the cells to which their packages are to be offered."""
    if rollout.failure or cells_ahead(rollout, observed):
        return frozenset()
    return frozenset(
        cell
        for cell in rollout.release.cells
        if _is_outdated(rollout, cell, _of(observed, cell))
        and not _has_answered(rollout, cell, observed)
    )


def rejecting_cells(rollout: Rollout, observed: Mapping[int, CellObservation]) -> frozenset[int]:
    """Return the cells that rejected their packages, or rolled back."""
    return frozenset(
        cell for cell in rollout.release.cells if _has_rejected(rollout, cell, observed)
    )


def cells_ahead(rollout: Rollout, observed: Mapping[int, CellObservation]) -> str:
    """Return which cells run generations that this registry does not have, as text; or nothing.

    Then the registry is older than the network: restored from a backup, or a copy.
    """
    found = [
        f"{package.name} runs generation {one.proven}"
        for cell, package in rollout.release.cells.items()
        if (one := _of(observed, cell)).alive and _is_ahead(rollout, cell, one.proven)
    ]
    return ", ".join(found)


def unproven_cells(rollout: Rollout, observed: Mapping[int, CellObservation]) -> frozenset[int]:
    """Return the cells that claim to run generations that this registry does not have.

    They have not proved it. The rollout leaves them out, after a wait for the proof.
    """
    return frozenset(
        cell
        for cell in rollout.release.cells
        if (one := _of(observed, cell)).alive
        and _is_ahead(rollout, cell, one.running)
        and not _is_ahead(rollout, cell, one.proven)
    )


def is_confirmed(package: ReleasedPackage, cell: CellObservation) -> bool:
    """Whether a cell runs `package`, and has no pending commit of it."""
    status, ack = cell.status, cell.ack
    if cell.running != package.generation:
        return False
    if status and status.generation == package.generation and _differs(status, package):
        return False
    return not (ack and ack.generation == package.generation and ack.phase in _UNDER_WAY)


def progress(rollout: Rollout, observed: Mapping[int, CellObservation]) -> str:
    """Return the progress of the rollout as text; empty if there is nothing to do."""
    release = rollout.release
    if rollout.failure or cells_ahead(rollout, observed):
        return ""
    if rollout.settled:
        late = [
            package.name
            for cell, package in release.cells.items()
            if _is_late(rollout, cell, observed)
        ]
        return f"{', '.join(late)} switching to generation {release.generation}" if late else ""
    done = {cell for cell, it in release.cells.items() if is_confirmed(it, _of(observed, cell))}
    if rollout.activated:
        count = len(done & rollout.activated.keys())
        return (
            f"activating generation {release.generation}:"
            f" {count} of {len(rollout.activated)} cells have confirmed"
        )
    ready = done | {c for c in release.cells if _is_staged(rollout, c, _of(observed, c))}
    return (
        f"staging generation {release.generation}: {len(ready)} of {len(release.cells)} cells"
        " have it"
    )


def _is_ahead(rollout: Rollout, cell: int, generation: int | None) -> bool:
    known = max(rollout.release.cells[cell].generation, rollout.newest_generation)
    return generation is not None and generation > known


def _is_waiting_for_proof(rollout: Rollout, now: float, limits: RolloutLimits) -> bool:
    return now - max(rollout.started_at, rollout.receiving_since) < limits.proof


def _is_late(rollout: Rollout, cell: int, observed: Mapping[int, CellObservation]) -> bool:
    """Whether a cell that was unreachable is being brought up to date."""
    one, package = _of(observed, cell), rollout.release.cells[cell]
    is_activated = cell in rollout.activated and not _has_rejected(rollout, cell, observed)
    return is_activated and one.alive and not is_confirmed(package, one)


def _differs(status: CellStatus, package: ReleasedPackage) -> bool:
    return bool(status.content) and status.content != package.content


def _of(observed: Mapping[int, CellObservation], cell: int) -> CellObservation:
    return observed.get(cell) or _NOTHING


_NOTHING = CellObservation()


def _failures(rollout: Rollout, observed: Mapping[int, CellObservation]) -> Iterator[str]:
    """Yield the reasons for which the release fails, as text."""
    for cell, package in rollout.release.cells.items():
        ack = _current_ack(rollout, cell, _of(observed, cell))
        if ack is None:
            continue
        reason = f": {ack.reason}" if ack.reason else ""
        if cell in rollout.activated and ack.phase is Phase.REVERTED:
            yield f"{package.name} rolled back to generation {ack.running}{reason}"
        elif cell in rollout.activated and ack.phase is Phase.FAILED:
            yield f"{package.name} could not apply its package{reason}"
        elif not rollout.activated and _is_rejected(rollout, cell, _of(observed, cell)):
            yield f"{package.name} rejected its package{reason}"


def _note_offers(rollout: Rollout, observed: Mapping[int, CellObservation]) -> Rollout:
    new = {cell: _of(observed, cell).ack_sequence for cell in cells_to_offer(rollout, observed)}
    if new.keys() <= rollout.acks_before_offer.keys():
        return rollout
    return replace(rollout, acks_before_offer={**new, **rollout.acks_before_offer})


def _next_wave(
    rollout: Rollout,
    observed: Mapping[int, CellObservation],
    now: float,
    limits: RolloutLimits,
) -> dict[int, int]:
    """Return the cells to activate now, with the generations of their packages."""
    cells, unproven = rollout.release.cells, unproven_cells(rollout, observed)
    if unproven and not rollout.activated and _is_waiting_for_proof(rollout, now, limits):
        return {}
    outdated = {
        cell
        for cell, package in cells.items()
        if cell not in rollout.activated.keys() | unproven
        and not is_confirmed(package, _of(observed, cell))
    }
    staged = {cell for cell in outdated if _is_staged(rollout, cell, _of(observed, cell))}
    if not rollout.activated:
        reachable = {cell for cell in outdated - staged if _of(observed, cell).reachable}
        unreachable = outdated - staged - reachable
        if reachable and now - rollout.started_at < limits.staging:
            return {}
        if unreachable and now - rollout.receiving_since < limits.discovery:
            return {}
    return {cell: cells[cell].generation for cell in sorted(staged)}


def _is_settled(
    rollout: Rollout,
    observed: Mapping[int, CellObservation],
    now: float,
    limits: RolloutLimits,
) -> bool:
    """Whether the rollout waits for no cell any more."""
    unproven = unproven_cells(rollout, observed)
    if unproven and _is_waiting_for_proof(rollout, now, limits):
        return False
    left = {
        cell
        for cell, package in rollout.release.cells.items()
        if cell not in unproven
        and not is_confirmed(package, _of(observed, cell))
        and not _has_rejected(rollout, cell, observed)
    }
    if any(_of(observed, cell).reachable for cell in left):
        return False
    if left & rollout.activated.keys():
        return now - rollout.activated_at >= limits.unreachable
    return not left or now - rollout.receiving_since >= limits.discovery


def _is_outdated(rollout: Rollout, cell: int, observation: CellObservation) -> bool:
    """Whether a cell runs an older package, or one with other content, and is alive."""
    package = rollout.release.cells[cell]
    running = observation.running
    if not observation.alive or running is None or is_confirmed(package, observation):
        return False
    return running <= package.generation


def _has_answered(rollout: Rollout, cell: int, observed: Mapping[int, CellObservation]) -> bool:
    """Whether a cell needs no offer, since it has staged, applies or has rejected its package."""
    one = _of(observed, cell)
    ack = _current_ack(rollout, cell, one)
    under_way = ack is not None and ack.phase in _UNDER_WAY
    return under_way or _is_staged(rollout, cell, one) or _has_rejected(rollout, cell, observed)


def _has_rejected(rollout: Rollout, cell: int, observed: Mapping[int, CellObservation]) -> bool:
    one = _of(observed, cell)
    ack = _current_ack(rollout, cell, one)
    if ack is None:
        return False
    # A rollback before this activation belongs to an earlier one.
    has_failed = ack.phase in _FAILED_PHASES and cell in rollout.activated
    return has_failed or _is_rejected(rollout, cell, one)


def _is_staged(rollout: Rollout, cell: int, observation: CellObservation) -> bool:
    ack = _current_ack(rollout, cell, observation)
    return observation.alive and ack is not None and ack.phase is Phase.STAGED


def _is_rejected(rollout: Rollout, cell: int, observation: CellObservation) -> bool:
    ack = _current_ack(rollout, cell, observation)
    if ack is None or ack.phase is not Phase.REFUSED or not observation.alive:
        return False
    if ack.offer:
        return True
    before = rollout.acks_before_offer.get(cell)
    return before is not None and observation.ack_sequence > before


def _current_ack(rollout: Rollout, cell: int, observation: CellObservation) -> Ack | None:
    """Return a cell's ack of its package, None if it answers an offer of an earlier attempt."""
    ack = observation.ack
    if ack is None or ack.generation != rollout.release.cells[cell].generation:
        return None
    return ack if not ack.offer or ack.offer >= rollout.release.attempt else None
