"""What is missing for a lab, reported before anything is made."""

from __future__ import annotations

import os

import pytest

from uno.diagnostics import UnoError
from uno.lab import requirements


def test_a_program_that_is_not_here_is_missing() -> None:
    assert "no such-program" in requirements.missing({"such-program": "such-package"})


def test_a_program_that_is_here_is_not_missing() -> None:
    assert "no sh" not in requirements.missing({"sh": "dash"})


def test_without_root_that_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert requirements.missing({"such-program": "such-package"})[0] == "not root"


def test_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(UnoError, match="not root, no such-program") as caught:
        requirements.require({"such-program": "such-package", "sh": "dash"})

    assert caught.value.hint == (
        "run it as root, install with `apt-get install --no-install-recommends such-package`"
    )
