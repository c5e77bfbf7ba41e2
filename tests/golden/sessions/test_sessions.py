"""Sessions of commands and what they print. `UPDATE_GOLDEN=1` writes what they print now."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessions import compare

SESSIONS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_a_session_prints_what_it_printed(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(session, tmp_path / "my-uvn", monkeypatch)
