"""What takes too long, or fails, is not observed, and shows why."""

from __future__ import annotations

import threading
import time

from uno.cli.deadlines import Observation
from uno.diagnosis.cell_facts import NotObserved
from uno.diagnostics import ActionNeeded


def test_what_is_done_in_time_is_returned() -> None:
    assert Observation(lambda: 7, seconds=30).result() == 7


def test_what_takes_too_long_is_left_alone() -> None:
    never = threading.Event()
    began = time.monotonic()

    found = Observation(never.wait, seconds=0.05).result()

    assert isinstance(found, NotObserved)
    assert found.why == "it took longer than 0.05 s"
    assert time.monotonic() - began < 10
    never.set()


def test_what_fails_shows_why() -> None:
    def refused() -> int:
        raise ActionNeeded("there is no nft", "install it")

    def missing() -> int:
        raise FileNotFoundError(2, "No such file or directory", "/nowhere")

    assert Observation(refused, seconds=30).result() == NotObserved("there is no nft")
    found = Observation(missing, seconds=30).result()
    assert found == NotObserved("/nowhere: No such file or directory")
