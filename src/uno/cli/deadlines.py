"""Observations that take at most so long each, all at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from uno.diagnosis.cell_facts import NotObserved
from uno.diagnostics import UnoError

T = TypeVar("T")


class Observation(Generic[T]):
    """One observation, begun at once in a thread that the process does not wait for."""

    def __init__(self, observe: Callable[[], T], *, seconds: float) -> None:
        """Begin; `observe` may take `seconds`, and raise `UnoError`."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._found: list[T | NotObserved] = []
        self._done = threading.Event()
        threading.Thread(target=self._run, args=(observe,), daemon=True).start()

    def result(self) -> T | NotObserved:
        """Return what was observed, or why nothing was."""
        if not self._done.wait(max(0.0, self._deadline - time.monotonic())):
            return NotObserved(f"it took longer than {self._seconds:g} s")
        return self._found[0] if self._found else NotObserved("it ended with an error: see above")

    def _run(self, observe: Callable[[], T]) -> None:
        try:
            self._found.append(observe())
        except UnoError as error:
            self._found.append(NotObserved(error.what))
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            self._found.append(NotObserved(f"{place}{error.strerror or error}"))
        finally:
            self._done.set()
