"""How `uno service up` decides by an error whether to try again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from uno.agent import service
from uno.agent.commit.ledger import Ledger
from uno.cli.commands import service_up_down
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.host.fake.fake_host import FakeHost

FAILURES = 2


def attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[UnoError], *, wait: float
) -> int:
    """Connect a host that fails twice; return how often it was tried. Raises what fails at last."""
    tried: list[object] = []

    def up(*_: object, **__: object) -> tuple[()]:
        tried.append(None)
        if len(tried) <= FAILURES:
            raise kind("FRR does not answer")
        return ()

    ledger = cast("Ledger", SimpleNamespace(directory=tmp_path, previous=lambda: None))
    monkeypatch.setattr(service, "up", up)
    monkeypatch.setattr(service_up_down, "RESOLVE_AGAIN", 0.01)
    host: Any = FakeHost()
    try:
        service_up_down._connect(ledger, host, cast("Any", None), wait=wait, verbose=0)
    except UnoError as error:
        error.add_note(f"attempts: {len(tried)}")
        raise
    return len(tried)


def test_a_transient_failure_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attempts(tmp_path, monkeypatch, TransientFailure, wait=60) == FAILURES + 1


@pytest.mark.parametrize(("kind", "wait"), [(ActionNeeded, 60), (TransientFailure, 0)])
def test_a_failure_that_needs_a_person_or_comes_too_late_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[UnoError], wait: float
) -> None:
    with pytest.raises(kind) as failed:
        attempts(tmp_path, monkeypatch, kind, wait=wait)

    assert failed.value.__notes__ == ["attempts: 1"]
