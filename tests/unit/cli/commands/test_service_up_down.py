"""What `uno service up` prints of what it could not do, and `uno service status`."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO

import pytest
import typer

from commands import run
from transitions import CROSSED, package_of
from uno.agent.commit.commit_machine import PersistentState, UndoneChange
from uno.agent.service import UnresolvedLink
from uno.cli.commands import service_up_down
from uno.cli.output.json_documents import DOCUMENTS, printed
from uno.host.fake.fake_host import FakeHost
from uno.model import codec


@pytest.mark.feature("F102")
@pytest.mark.feature("G51")
def test_a_host_that_is_up_without_a_link_names_it_and_fails_for_now() -> None:
    missing = UnresolvedLink(interface="uwg-b0", neighbor="c2", name="c2.example.org")

    error = service_up_down._incomplete(package_of(CROSSED), (missing,))

    assert str(error) == (
        "c1 is up without 1 of its 3 links: c2.example.org (c2) cannot be resolved; "
        "check the host's name service; `uno service up` resolves it again"
    )
    assert (error.transient, error.exit_status) == (True, 1)


class LedgerStub:
    """The part of a ledger that a status reads."""

    def __init__(self, undone: UndoneChange | None) -> None:
        self.undone = undone

    def persistent_state(self) -> PersistentState:
        return PersistentState(undone=self.undone)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> LedgerStub:
    """The ledger of a cell whose host is in memory, and down."""
    package, host = package_of(CROSSED), FakeHost()
    stub = LedgerStub(UndoneChange(generation=7, running=6, reason="it lost lan-b", at=0))
    monkeypatch.setattr(service_up_down, "_require_root", lambda: None)
    monkeypatch.setattr(service_up_down, "_open", lambda _: (stub, package))
    monkeypatch.setattr(service_up_down, "_host", lambda *_: host)
    return stub


@pytest.mark.feature("F103")
@pytest.mark.feature("G05")
def test_the_status_of_a_host_names_what_was_rolled_back_until_a_change_is_confirmed(
    ledger: LedgerStub,
) -> None:
    shown, value = run("service", "status"), json.loads(run("service", "status", "-J").out)
    ledger.undone = None
    later, empty = run("service", "status"), json.loads(run("service", "status", "-J").out)

    assert shown.status == later.status == 1
    (line,) = [each for each in shown.out.splitlines() if "rolled back" in each]
    assert re.fullmatch(r"rolled back from generation 7: it lost lan-b, \d+ d ago", line)
    assert value["undone"]["generation"] == 7
    assert value["undone"]["reason"] == "it lost lan-b"
    assert "rolled back" not in later.out
    assert empty["undone"] is None


@pytest.mark.feature("F103")
def test_on_a_screen_the_status_of_a_host_has_80_columns(
    ledger: LedgerStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    reason = f"it lost {', '.join(f'lan-{number}' for number in range(30))}"
    ledger.undone = UndoneChange(generation=7, running=6, reason=reason, at=0)
    screen = Screen()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", screen)

    with pytest.raises(typer.Exit):
        service_up_down.status()

    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert max(map(len, shown.splitlines())) <= 80
    assert reason in " ".join(shown.split())


@pytest.mark.feature("F103")
@pytest.mark.usefixtures("ledger")
def test_the_status_of_a_host_is_what_is_documented() -> None:
    text = run("service", "status", "-J").out

    value = codec.decode(text, printed(DOCUMENTS["service status"]))

    assert json.loads(codec.encode(value)) == json.loads(text)
    assert len(value.links) == 3
