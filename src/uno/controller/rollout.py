"""What the registry does next so that a released generation is run by every cell. Pure.

    staging ──▶ changing ──▶ settled          all that can be reached have confirmed
       │            └──────▶ failed, undone   one went back, or could not change over
       └───────────────────▶ failed           one refused its package: nobody changed

Nobody is told to change over who has not said that it has its package staged, and nobody before
all that can be reached have, or patience has run out. Who was away is brought up to date alone.
What failed is not tried again but for a new release. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from uno.controller.release_record import Release, ReleasedPackage
from uno.model.messages import CONFIRM_TIMEOUT, Ack, Phase
from uno.model.status import CellStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is known of a cell: `said` and `acked` are the sequences of `status` and `ack`.

    A cell counts all that it says in one row, so that the higher is what it said last. It is
    `alive` if that was not long ago, as far as is known: others may pass on what is old. It is
    `sure` to be if it was heard itself, or went on.
    """

    alive: bool = False
    sure: bool = True
    status: CellStatus | None = None
    said: int = 0
    ack: Ack | None = None
    acked: int = 0

    @property
    def present(self) -> bool:
        """Whether it is worth waiting for."""
        return self.alive and self.sure

    @property
    def running(self) -> int | None:
        """The generation of the package that it runs, None if not known."""
        if self.ack is not None and self.acked > self.said:
            return self.ack.running
        return self.status.generation if self.status else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait, in seconds.

    `absent` is for cells that have not been heard since the registry listens, `busy` for those
    that are heard and have not staged; `confirm_timeout` is how long a cell waits for lost contact,
    and `lost` how long for a cell that was told to change over and is not heard any more.
    """

    absent: float = 15.0
    busy: float = 30.0
    confirm_timeout: float = CONFIRM_TIMEOUT
    lost: float = 300.0


LIMITS = Limits()

# A cell that went back may need this long to be heard again.
_RETURN = 30.0

_WENT_WRONG = frozenset({Phase.REVERTED, Phase.FAILED})
_UNDER_WAY = frozenset({Phase.APPLYING, Phase.APPLIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a release is.

    Cells can be heard since `listening`, and this release is under way since `began`. `activated`
    are the cells that were told to change over, with the generations of their packages, last at
    `activated_at`, which `takes` so many seconds. `newest` is the newest generation that the
    registry itself has. `asked` has the sequence of the last ack of each cell from before it was
    offered its package. `failed` says why it was given up.
    """

    release: Release
    listening: float
    began: float
    newest: int
    activated: Mapping[int, int] = field(default_factory=dict)
    activated_at: float = 0.0
    takes: float = 0.0
    settled: bool = False
    failed: str = ""
    asked: Mapping[int, int] = field(default_factory=dict)

    def may_end(self, now: float, limits: Limits = LIMITS) -> bool:
        """Whether a newer release may take its place: nobody is in the middle of a change."""
        if not self.activated or self.settled or self.failed:
            return True
        return now - self.activated_at >= limits.confirm_timeout + self.takes + _RETURN


def step(
    rollout: Rollout, heard: Mapping[int, Heard], *, now: float, limits: Limits = LIMITS
) -> Rollout:
    """Return how far it is now; who is in `activated` then is to be told so."""
    if rollout.failed:
        return rollout
    if not rollout.settled and (reasons := tuple(_failures(rollout, heard))):
        return replace(rollout, failed="; ".join(reasons))
    rollout = _asked(rollout, heard)
    if ahead(rollout, heard):
        return rollout
    wave = _wave(rollout, heard, now, limits)
    if wave:
        activated = {**rollout.activated, **wave}
        rollout = replace(rollout, activated=activated, activated_at=now)
    if not rollout.settled and _is_settled(rollout, heard, now, limits):
        rollout = replace(rollout, settled=True)
    return rollout


def offers(rollout: Rollout, heard: Mapping[int, Heard]) -> frozenset[int]:
    """Return the cells whose packages are to be on offer."""
    if rollout.failed or ahead(rollout, heard):
        return frozenset()
    return frozenset(
        cell
        for cell in rollout.release.cells
        if _wants(rollout, cell, _of(heard, cell)) and not _answered(rollout, cell, heard)
    )


def unwilling(rollout: Rollout, heard: Mapping[int, Heard]) -> frozenset[int]:
    """Return the cells that did not want their package, or went back from it."""
    return frozenset(cell for cell in rollout.release.cells if _answered_no(rollout, cell, heard))


def ahead(rollout: Rollout, heard: Mapping[int, Heard]) -> str:
    """Return which cells run what this registry never made, for people; empty if none does.

    Then this registry is older than the network: restored from a backup, or a copy.
    """
    found = [
        f"{package.name} runs generation {running}"
        for cell, package in rollout.release.cells.items()
        if (one := _of(heard, cell)).alive
        and (running := one.running) is not None
        and running > max(package.generation, rollout.newest)
    ]
    return ", ".join(found)


def is_done(package: ReleasedPackage, heard: Heard) -> bool:
    """Whether a cell runs its package, and has confirmed it if it had to."""
    status, ack = heard.status, heard.ack
    if heard.running != package.generation:
        return False
    if status and status.generation == package.generation and _differs(status, package):
        return False
    return not (ack and ack.generation == package.generation and ack.phase in _UNDER_WAY)


def doing(rollout: Rollout, heard: Mapping[int, Heard]) -> str:
    """Return what is under way, for people; empty at rest."""
    release = rollout.release
    if rollout.failed or ahead(rollout, heard):
        return ""
    if rollout.settled:
        late = [
            package.name
            for cell, package in release.cells.items()
            if _is_late(rollout, cell, heard)
        ]
        return f"{', '.join(late)} changing over to generation {release.generation}" if late else ""
    done = {cell for cell, it in release.cells.items() if is_done(it, _of(heard, cell))}
    if rollout.activated:
        count = len(done & rollout.activated.keys())
        return (
            f"changing over to generation {release.generation}:"
            f" {count} of {len(rollout.activated)} cells have confirmed"
        )
    ready = done | {cell for cell in release.cells if _is_staged(rollout, cell, _of(heard, cell))}
    return (
        f"staging generation {release.generation}: {len(ready)} of {len(release.cells)} cells"
        " have it"
    )


def _is_late(rollout: Rollout, cell: int, heard: Mapping[int, Heard]) -> bool:
    """Whether a cell that was away changes over now."""
    one, package = _of(heard, cell), rollout.release.cells[cell]
    is_told = cell in rollout.activated and not _answered_no(rollout, cell, heard)
    return is_told and one.alive and not is_done(package, one)


def _differs(status: CellStatus, package: ReleasedPackage) -> bool:
    return bool(status.content) and status.content != package.content


def _of(heard: Mapping[int, Heard], cell: int) -> Heard:
    return heard.get(cell) or _UNHEARD


_UNHEARD = Heard()


def _failures(rollout: Rollout, heard: Mapping[int, Heard]) -> Iterator[str]:
    """Yield why it cannot go on, for people."""
    for cell, package in rollout.release.cells.items():
        ack = _current_ack(rollout, cell, _of(heard, cell))
        if ack is None:
            continue
        because = f": {ack.reason}" if ack.reason else ""
        if cell in rollout.activated and ack.phase is Phase.REVERTED:
            yield f"{package.name} went back to generation {ack.running}{because}"
        elif cell in rollout.activated and ack.phase is Phase.FAILED:
            yield f"{package.name} could not change over{because}"
        elif not rollout.activated and _is_refused(rollout, cell, _of(heard, cell)):
            yield f"{package.name} refused its package{because}"


def _asked(rollout: Rollout, heard: Mapping[int, Heard]) -> Rollout:
    news = {cell: _of(heard, cell).acked for cell in offers(rollout, heard)}
    if news.keys() <= rollout.asked.keys():
        return rollout
    return replace(rollout, asked={**news, **rollout.asked})


def _wave(
    rollout: Rollout, heard: Mapping[int, Heard], now: float, limits: Limits
) -> dict[int, int]:
    """Return who is to be told to change over now and was not, with its package's generation."""
    cells = rollout.release.cells
    wanting = {
        cell
        for cell, package in cells.items()
        if cell not in rollout.activated and not is_done(package, _of(heard, cell))
    }
    staged = {cell for cell in wanting if _is_staged(rollout, cell, _of(heard, cell))}
    if not rollout.activated:
        alive = {cell for cell in wanting - staged if _of(heard, cell).present}
        absent = wanting - staged - alive
        if alive and now - rollout.began < limits.busy:
            return {}
        if absent and now - rollout.listening < limits.absent:
            return {}
    return {cell: cells[cell].generation for cell in sorted(staged)}


def _is_settled(rollout: Rollout, heard: Mapping[int, Heard], now: float, limits: Limits) -> bool:
    """Whether all that can be reached are done with it."""
    left = {
        cell
        for cell, package in rollout.release.cells.items()
        if not is_done(package, _of(heard, cell)) and not _answered_no(rollout, cell, heard)
    }
    if any(_of(heard, cell).present for cell in left):
        return False
    if left & rollout.activated.keys():
        return now - rollout.activated_at >= limits.lost
    return not left or now - rollout.listening >= limits.absent


def _wants(rollout: Rollout, cell: int, heard: Heard) -> bool:
    """Whether a cell that is heard runs something older, or something else, than its package."""
    package = rollout.release.cells[cell]
    if not heard.alive or heard.running is None or is_done(package, heard):
        return False
    return heard.running <= package.generation


def _answered(rollout: Rollout, cell: int, heard: Mapping[int, Heard]) -> bool:
    """Whether a cell needs its package no more, or does not want it."""
    one = _of(heard, cell)
    ack = _current_ack(rollout, cell, one)
    under_way = ack is not None and ack.phase in _UNDER_WAY
    return under_way or _is_staged(rollout, cell, one) or _answered_no(rollout, cell, heard)


def _answered_no(rollout: Rollout, cell: int, heard: Mapping[int, Heard]) -> bool:
    one = _of(heard, cell)
    ack = _current_ack(rollout, cell, one)
    if ack is None:
        return False
    # What went wrong before it was told to change over this time went wrong another time.
    went_wrong = ack.phase in _WENT_WRONG and cell in rollout.activated
    return went_wrong or _is_refused(rollout, cell, one)


def _is_staged(rollout: Rollout, cell: int, heard: Heard) -> bool:
    ack = _current_ack(rollout, cell, heard)
    return heard.alive and ack is not None and ack.phase is Phase.STAGED


def _is_refused(rollout: Rollout, cell: int, heard: Heard) -> bool:
    ack = _current_ack(rollout, cell, heard)
    if ack is None or ack.phase is not Phase.REFUSED or not heard.alive:
        return False
    if ack.offer:
        return True
    return cell in rollout.asked and heard.acked > rollout.asked[cell]


def _current_ack(rollout: Rollout, cell: int, heard: Heard) -> Ack | None:
    """Return what a cell said last of its package, if that was not about an earlier offer."""
    ack = heard.ack
    if ack is None or ack.generation != rollout.release.cells[cell].generation:
        return None
    return ack if not ack.offer or ack.offer >= rollout.release.attempt else None
