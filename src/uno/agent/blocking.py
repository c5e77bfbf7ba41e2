"""How an agent runs calls that block: in one thread, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class RunBlocking(Protocol):
    """Runs blocking calls in one thread."""

    def __call__(self, call: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
        """Return what `call` returns."""
        ...
