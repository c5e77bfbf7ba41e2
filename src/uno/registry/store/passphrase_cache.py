"""Who is asked for the passphrase of a registry, and the vaults that are open already."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from uno.diagnostics import InvalidInput

if TYPE_CHECKING:
    from uno.registry.store.key_wrapping import Lock, Vault


class Keyring:
    """Opens locks with the passphrase that `ask` returns; each is asked for and stretched once."""

    def __init__(self, ask: Callable[[], str]) -> None:
        """Hold nothing yet."""
        self._ask = ask
        self._open: dict[bytes, Vault] = {}

    def open(self, lock: Lock, *, of: str) -> Vault:
        """Return what `lock` locks. Raises `UnoError` if there is no passphrase or a wrong one."""
        if lock.wrapped not in self._open:
            # Most commands read public facts alone.
            from uno.registry.store import key_wrapping  # noqa: PLC0415

            self._open[lock.wrapped] = key_wrapping.unlocked(lock, self._ask(), of=of)
        return self._open[lock.wrapped]

    def add(self, lock: Lock, opened: Vault) -> None:
        """Keep a vault that was made in this process."""
        self._open[lock.wrapped] = opened


def _nobody() -> str:
    raise InvalidInput(
        "the registry's secrets are encrypted with a passphrase",
        "set UNO_PASSPHRASE, or add --passphrase-file FILE",
    )


# One for the whole command, since a command may open its registry more than once.
keyring: ContextVar[Keyring] = ContextVar("keyring", default=Keyring(_nobody))  # noqa: B039
