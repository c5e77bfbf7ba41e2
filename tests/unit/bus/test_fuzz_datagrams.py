"""A share of what `scripts/fuzz_datagrams.py` sends: DDS parses altered datagrams, and survives."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import fuzz_datagrams
import pytest
from fuzz_datagrams import Participant, Role, await_true, family

SEED, COUNT = 17, 4000

pytestmark = pytest.mark.feature("G53")


def test_altered_datagrams_end_neither_a_cell_nor_the_registry(tmp_path: Path) -> None:
    outcomes = fuzz_datagrams.feed_datagrams(tmp_path, COUNT, seed=SEED)

    assert [each.role for each in outcomes] == [Role.CELL, Role.REGISTRY]
    for each in outcomes:
        assert each.parsed >= COUNT
        assert each.is_well, each


def test_a_process_that_ends_is_counted_also_one_that_it_has_started() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with ours, theirs:
        process = context.Process(target=os.execvp, args=("sh", ["sh", "-c", "sleep 1000 & wait"]))
        process.start()
        victim = Participant(role=Role.CELL, process=process, pipe=ours)
        await_true(lambda: len(family(process.pid or 0)) == 2, "it has started another")
        victim.started = family(process.pid or 0)
        before = victim.ended()
        (child,) = victim.started - {process.pid}
        os.kill(child, signal.SIGKILL)
        await_true(victim.ended, "the end is noticed")
        process.join(60)

    assert before == 0
    assert victim.ended() == 2
