"""Unit tests of the lab leave this machine's limits alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from uno.lab import inotify_limit


@pytest.fixture(autouse=True)
def inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A limit of 128 instances in a file, and a place for its record."""
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    monkeypatch.setattr(inotify_limit, "LIMIT", limit)
    monkeypatch.setattr(inotify_limit, "RECORD", tmp_path / "inotify.json")
    return limit
