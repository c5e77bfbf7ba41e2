"""Sessions of commands and what they print. `UPDATE_GOLDEN=1` writes what they print now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sessions import compare

SESSIONS = sorted(Path(__file__).parent.glob("*.txt"))
TYPED = re.compile(r"# |\S+# ")
TERMINALS = sorted((Path(__file__).parents[1] / "terminal").glob("*.txt"))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_a_session_prints_what_it_printed(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(session, tmp_path / "my-uvn", monkeypatch)


@pytest.mark.parametrize("session", TERMINALS, ids=lambda path: path.stem)
def test_what_a_terminal_shows_has_80_columns(session: Path) -> None:
    """But for what is typed, and comments; `tests/lab/test_sessions.py` plays them."""
    shown = [line for line in session.read_text().splitlines() if not TYPED.match(line)]

    assert len(shown) > 100
    assert [line for line in shown if len(line) > 80] == []
