"""How an agent does what blocks: in the one thread for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class RunBlocking(Protocol):
    """Does what blocks in the one thread for it."""

    def __call__(self, call: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
        """Return what `call` returns."""
        ...
