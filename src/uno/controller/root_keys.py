"""With which keys the registry is on the root VPN, while cells may still have earlier ones.

New keys are used from the activation on. Until every cell has confirmed them the earlier ones are
kept, for cells that missed the change (`calling`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from uno.model.key_ids import ROOT_REGISTRY, root_pair, root_psk
from uno.registry.publish import keygen

if TYPE_CHECKING:
    from uno.model.plan import Plan
    from uno.registry.store.generation_store import Store, StoredSecret

_PREFIX = "root/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeys:
    """Every epoch of the root VPN's keys that is still there."""

    epochs: tuple[StoredSecret, ...]

    @property
    def has_earlier(self) -> bool:
        """Whether there are other keys than the newest."""
        return len({each.id for each in self.epochs}) < len(self.epochs)

    def of(self, plan: Plan) -> dict[str, str] | None:
        """Return the secrets, by id in base64, that `plan` was made with; None if some are gone.

        A cell's preshared key and its pair are always drawn together.
        """
        by_id: dict[str, dict[int, StoredSecret]] = {}
        for each in self.epochs:
            by_id.setdefault(each.id, {})[each.epoch] = each
        registry = self._pair(by_id, ROOT_REGISTRY, plan)
        if registry is None:
            return None
        found = {ROOT_REGISTRY: keygen.text(registry.private)}
        for cell in plan.cells:
            member = cell.member.id
            pair = self._pair(by_id, root_pair(member), plan)
            psks = by_id.get(root_psk(member), {})
            psk = psks.get(pair.epoch) if pair else None
            if psk is None:
                return None
            found[psk.id] = keygen.text(psk.private)
        return found

    def superfluous(self, plans: Iterable[Plan]) -> tuple[tuple[str, int], ...]:
        """Return the ids and epochs of the keys that none of `plans` was made with."""
        public = {text for plan in plans for text in plan.public_keys.values()}
        used = {
            (each.id, each.epoch)
            for each in self.epochs
            if each.public is not None and keygen.text(each.public) in public
        }
        used |= {(f"{name}/psk", epoch) for name, epoch in used}
        return tuple(
            (each.id, each.epoch) for each in self.epochs if (each.id, each.epoch) not in used
        )

    @staticmethod
    def _pair(
        by_id: Mapping[str, Mapping[int, StoredSecret]], name: str, plan: Plan
    ) -> StoredSecret | None:
        wanted = plan.public_keys.get(name)
        epochs = by_id.get(name, {}).values()
        return next((it for it in epochs if it.public and keygen.text(it.public) == wanted), None)


def read(store: Store) -> RootKeys:
    """Return what is there; takes the passphrase if there is one."""
    return RootKeys(epochs=store.safe.epochs(_PREFIX))


def prune(store: Store, plans: Iterable[Plan]) -> None:
    """Delete the keys of the root VPN that none of `plans` was made with."""
    if gone := read(store).superfluous(plans):
        with store.transaction():
            store.safe.drop_epochs(gone)


def merged(plan: Plan, release: Plan) -> Plan:
    """Return `plan` with the cells of `release` alone: who left is nobody's peer from now on.

    Cells that `plan` does not have are as in `release`.
    """
    members = {cell.member.id: cell for cell in release.cells}
    kept = tuple(cell for cell in plan.cells if cell.member.id in members)
    known = {cell.member.id for cell in kept}
    news = tuple(cell for cell in release.cells if cell.member.id not in known)
    public = {**release.public_keys, **plan.public_keys}
    for cell in news:
        name = root_pair(cell.member.id)
        public[name] = release.public_keys.get(name, "")
    return replace(plan, cells=(*kept, *news), public_keys=public)


def differs(one: Plan, other: Plan) -> bool:
    """Whether a cell of both is reached in another way."""
    return _look(one, other) != _look(other, one)


def _look(plan: Plan, other: Plan) -> tuple[object, ...]:
    both = {cell.member.id for cell in other.cells}
    cells = tuple(
        (cell.member.node4, cell.member.node6, plan.public_keys.get(root_pair(cell.member.id)))
        for cell in plan.cells
        if cell.member.id in both
    )
    return plan.root, plan.bus, plan.public_keys.get(ROOT_REGISTRY), cells
