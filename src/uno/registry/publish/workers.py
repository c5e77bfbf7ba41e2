"""Shares work among processes, each of which has the secrets that it needs in its memory alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")


def shared(work: Callable[[Job], Done], jobs: Iterable[Job], *, chunk: int = 1) -> list[Done]:
    """Return what `work` makes of each job, in their order; `chunk` jobs are given out at a time.

    Jobs and results go through pipes; `work`, with the secrets that are bound to it, does not:
    processes are forked and have it already.
    """
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        processors(), mp_context=context, initializer=_begin, initargs=(work,)
    ) as pool:
        return list(pool.map(_work, jobs, chunksize=chunk))


def processors() -> int:
    """Return how many processes can work at once."""
    return len(os.sched_getaffinity(0))


_adopted: list[Callable[[Any], Any]] = []


def _begin(work: Callable[[Any], Any]) -> None:
    _adopted[:] = [work]
    # Ctrl-C goes to every process of a terminal; the first one ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the parent if that is killed; this process would otherwise keep its lock."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(job: Any) -> Any:
    return _adopted[0](job)
