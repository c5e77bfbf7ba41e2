"""The passphrase of a registry, asked for once, and the data keys that it unwrapped."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from uno.diagnostics import InvalidInput

if TYPE_CHECKING:
    from uno.registry.store.key_wrapping import DataKey, WrappedKey


class PassphraseCache:
    """Unwraps data keys with the passphrase that `ask` returns; argon2id runs once for each key."""

    def __init__(self, ask: Callable[[], str]) -> None:
        """Start without any key."""
        self._ask = ask
        self._open: dict[bytes, DataKey] = {}

    def open(self, lock: WrappedKey, *, of: str) -> DataKey:
        """Return the data key in `lock`. Raises `InvalidInput` without the right passphrase."""
        if lock.wrapped not in self._open:
            # Most commands read public facts alone.
            from uno.registry.store import key_wrapping  # noqa: PLC0415

            self._open[lock.wrapped] = key_wrapping.unwrapped(lock, self._ask(), of=of)
        return self._open[lock.wrapped]

    def add(self, lock: WrappedKey, opened: DataKey) -> None:
        """Keep a data key that was generated in this process."""
        self._open[lock.wrapped] = opened


def _no_passphrase() -> str:
    raise InvalidInput(
        "the registry's secrets are encrypted with a passphrase",
        "set UNO_PASSPHRASE, or add --passphrase-file FILE",
    )


_NONE = PassphraseCache(_no_passphrase)
# One for the whole command, since a command may open its registry more than once.
passphrases: ContextVar[PassphraseCache] = ContextVar("passphrases", default=_NONE)
