"""The stored keys of the root VPN, earlier ones included.

New keys are used from the activation on. The earlier ones are kept until every cell has confirmed
the new ones, for cells that missed the change (`root_key_fallback`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from uno.model.key_ids import ROOT_REGISTRY, root_pair, root_psk
from uno.registry.publish import keygen

if TYPE_CHECKING:
    from uno.model.plan import Plan
    from uno.registry.store.generation_store import Store, StoredSecret

_PREFIX = "root/"


class RootKeys(Struct, frozen=True, kw_only=True):
    """All stored epochs of the root VPN's keys."""

    epochs: tuple[StoredSecret, ...]

    @property
    def has_earlier(self) -> bool:
        """Whether there are keys older than the newest."""
        return len({each.id for each in self.epochs}) < len(self.epochs)

    def of(self, plan: Plan) -> dict[str, str] | None:
        """Return the secrets of `plan`, by id in base64; None if some of them were deleted.

        A cell's preshared key and its key pair are always generated together.
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

    def unused(self, plans: Iterable[Plan]) -> tuple[tuple[str, int], ...]:
        """Return the ids and epochs of the keys that none of `plans` uses."""
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
    """Return the stored keys. Needs the passphrase if the registry has one."""
    return RootKeys(epochs=store.secret_table.epochs(_PREFIX))


def prune(store: Store, plans: Iterable[Plan]) -> None:
    """Delete the keys of the root VPN that none of `plans` uses."""
    if unused := read(store).unused(plans):
        with store.transaction():
            store.secret_table.drop_epochs(unused)
