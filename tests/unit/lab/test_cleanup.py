"""Nothing is left of a lab, at whatever moment its maker gets a signal to end."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from uno.lab import inotify_limit, lab_state, machine, world
from uno.lab.cleanup import ended_by_signals, temporary_lab
from uno.lab.world_layout import WorldLayout

EMPTY = WorldLayout(stations=(), cables=(), names={})
_TRACED = {
    __file__,
    contextlib.__file__,
    inotify_limit.__file__,
    lab_state.__file__,
    world.__file__,
}


@pytest.fixture(autouse=True)
def _without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNO_LAB_DIR", str(tmp_path / "labs"))
    monkeypatch.setattr(world, "run", lambda *_args, **_named: None)
    monkeypatch.setattr(machine, "start_holders", lambda _machines: {})


def stand() -> None:
    with world.temporary_world(EMPTY):
        pass


def stand_with_a_raised_limit() -> None:
    with temporary_lab() as lab_id:
        inotify_limit.reserve(lab_state.create(EMPTY, lab_id).directory, 100)


def make() -> None:
    with temporary_lab() as lab_id:
        lab_state.create(EMPTY, lab_id)


def fail() -> None:
    with contextlib.suppress(ValueError), temporary_lab(keep=True) as lab_id:
        lab_state.create(EMPTY, lab_id)
        raise ValueError


@pytest.mark.parametrize("work", [stand, stand_with_a_raised_limit, make, fail])
def test_no_moment_leaves_a_lab_or_its_limit(work: Callable[[], None], inotify: Path) -> None:
    for moment in itertools.count():
        interrupted = interrupt(work, moment)

        assert lab_state.ids() == (), f"after {moment} lines"
        assert int(inotify.read_text()) == 128, f"after {moment} lines"
        if not interrupted:
            assert moment > 30
            break


def test_a_lab_that_is_to_be_kept_is_gone_unless_all_was_done() -> None:
    done: list[str] = []

    def make_to_keep() -> None:
        with temporary_lab(keep=True) as lab_id:
            lab_state.create(EMPTY, lab_id)
            done.append(lab_id)

    for moment in itertools.count():
        if not interrupt(make_to_keep, moment):
            break
        assert lab_state.ids() in {(), tuple(done)}, f"after {moment} lines"
        for lab_id in done:
            lab_state.remove(lab_id)
        done.clear()

    assert moment > 30
    assert lab_state.ids() == tuple(done) != ()


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_second_signal_does_not_interrupt_the_removal(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BaseException]
) -> None:
    remove = lab_state.remove

    def signalled(lab_id: str) -> None:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(one)
        remove(lab_id)

    monkeypatch.setattr(lab_state, "remove", signalled)
    with pytest.raises(kind), ended_by_signals(), world.temporary_world(EMPTY):
        signal.raise_signal(number)

    assert lab_state.ids() == ()


def test_afterwards_signals_are_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught, ended_by_signals():
        signal.raise_signal(signal.SIGTERM)

    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def interrupt(work: Callable[[], None], moment: int) -> bool:
    """Raise what a signal raises after some lines of `work`; return whether it lasted that long."""
    left = moment

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in _TRACED:
            return None
        if event == "line":
            left -= 1
            if left == -1:
                raise SystemExit
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except SystemExit:
        return True
    finally:
        sys.settrace(before)
    return False
