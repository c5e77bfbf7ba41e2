"""The man page and the reference of the commands follow from the commands, and are well formed."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from script_modules import script_module
from uno.host.command import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return script_module("reference")


@pytest.mark.feature("G47")
def test_the_man_page_and_the_reference_are_current(reference: ModuleType) -> None:
    old = [path.name for path, text in reference.written().items() if path.read_text() != text]

    assert old == [], "run: python scripts/reference.py"


@pytest.mark.feature("G47")
def test_every_command_and_option_is_explained(reference: ModuleType) -> None:
    for command in reference.commands():
        assert command.about[0].endswith("."), command.typed
        for option in command.options:
            assert option.about, f"{command.typed}: {option.typed}"


@pytest.mark.feature("G47")
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_finds_nothing_to_warn_about() -> None:
    done = run(["groff", "-man", "-ww", "-z", "-Tutf8", str(ROOT / "man" / "uno.1")])

    assert (done.stdout, done.stderr) == ("", "")


def test_nothing_typed_is_taken_for_a_request_of_roff(reference: ModuleType) -> None:
    assert reference._roff(".a -b \\ →") == "\\&.a \\-b \\e \\[u2192]"
