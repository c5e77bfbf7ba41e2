"""Passphrases, backups and restores as a person at the command line sees them."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from commands import Uno

pytestmark = pytest.mark.usefixtures("cheap_age")

PHRASE = "correct horse"
OTHER = "battery staple"


@pytest.fixture
def sealed(site: Uno, monkeypatch: pytest.MonkeyPatch) -> Uno:
    """A UVN of two cells and a particle whose secrets are sealed with PHRASE, which is not set."""
    monkeypatch.setenv("UNO_PASSPHRASE", PHRASE)
    assert site("passphrase", "set").status == 0
    monkeypatch.delenv("UNO_PASSPHRASE")
    return site


@pytest.fixture
def phrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "phrase"
    path.write_text(f"{PHRASE}\nwhat follows does not count\n")
    return path


@pytest.mark.feature("G27")
def test_a_uvn_is_defined_with_its_secrets_sealed(uno: Uno, phrase_file: Path) -> None:
    done = uno(
        *("define", "uvn", "net", "-o", "john@example.org", "-p", "secret"),
        *("--passphrase-file", str(phrase_file)),
    )
    assert done.status == 0, done.err

    refused = uno("define", "cell", "a", "-a", "a.example.org")
    allowed = uno(
        "define", "cell", "a", "-a", "a.example.org", "--passphrase-file", str(phrase_file)
    )

    assert (refused.status, allowed.status) == (2, 0)
    assert (
        refused.err == "uno: the registry is encrypted with a passphrase;"
        " set UNO_PASSPHRASE, or add --passphrase-file FILE\n"
    )


@pytest.mark.feature("G27")
@pytest.mark.parametrize(
    "words",
    ["show uvn", "show cell a", "show particle phone", "show backbone", "list cells", "config uvn"],
)
def test_read_only_commands_need_no_passphrase(sealed: Uno, words: str) -> None:
    done = sealed(*words.split())

    assert (done.status, done.err) == (0, "")


@pytest.mark.feature("G27")
@pytest.mark.parametrize(
    "words", ["define particle tablet", "redeploy", "packages", "show particle phone --qr"]
)
def test_a_command_that_needs_secrets_names_what_to_set_or_that_it_is_wrong(
    sealed: Uno, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = sealed(*words.split())
    monkeypatch.setenv("UNO_PASSPHRASE", OTHER)
    wrong = sealed(*words.split())
    monkeypatch.setenv("UNO_PASSPHRASE", PHRASE)
    right = sealed(*words.split())

    assert (without.status, wrong.status, right.status) == (2, 2, 0)
    assert "set UNO_PASSPHRASE, or add --passphrase-file FILE" in without.err
    assert wrong.err.startswith("uno: this is not the passphrase of the registry in ")
    assert [without.err.count("\n"), wrong.err.count("\n")] == [1, 1]


@pytest.mark.feature("G27")
def test_a_passphrase_is_changed_and_removed(
    sealed: Uno, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_text(OTHER)
    monkeypatch.setenv("UNO_PASSPHRASE", PHRASE)

    changed = sealed("passphrase", "change", "--new-passphrase-file", str(tmp_path / "other"))
    old = sealed("redeploy")
    kept = sealed("passphrase", "remove", "--passphrase-file", str(tmp_path / "other"))
    removed = sealed("passphrase", "remove", "-y", "--passphrase-file", str(tmp_path / "other"))
    monkeypatch.delenv("UNO_PASSPHRASE")

    assert (changed.status, old.status, kept.status, removed.status) == (0, 2, 2, 0)
    assert "add -y for yes" in kept.err
    assert sealed("redeploy").status == 0


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("passphrase set", "the registry has a passphrase already; change it with:"),
        ("passphrase change", "add --new-passphrase-file FILE"),
    ],
)
def test_what_does_not_fit_is_refused(
    sealed: Uno, words: str, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNO_PASSPHRASE", PHRASE)

    done = sealed(*words.split())

    assert done.status == 2
    assert reported in done.err


@pytest.mark.parametrize(
    ("phrase", "reported"),
    [("", "UNO_PASSPHRASE is empty"), ("short", "UNO_PASSPHRASE has 5 characters; choose")],
)
def test_an_empty_or_short_passphrase_seals_nothing(
    uno: Uno, root: Path, phrase: str, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNO_PASSPHRASE", phrase)

    done = uno("define", "uvn", "net", "-o", "john@example.org", "-p", "secret")

    assert done.status == 2
    assert reported in done.err
    assert not root.exists()


def test_a_passphrase_is_asked_for_on_a_terminal(
    sealed: Uno, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PHRASE

    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setattr("uno.cli.input.passphrase_source._has_terminal", lambda: True)

    done = sealed("define", "particle", "tablet")

    assert done.status == 0
    assert asked == ["Passphrase of the registry: "]


def test_missing_packages_of_a_sealed_registry_are_reported_and_not_asked_for(
    sealed: Uno, root: Path, phrase_file: Path
) -> None:
    (root / "particles" / "net__phone.zip").unlink()

    opened = sealed("show", "uvn")
    made = sealed("packages", "--passphrase-file", str(phrase_file))

    assert opened.status == 0
    assert "not all cell and particle packages are written; uno packages writes them" in opened.err
    assert made.status == 0
    assert (root / "particles" / "net__phone.zip").exists()


@pytest.mark.feature("G27")
def test_a_backup_is_made_and_restored(
    site: Uno, root: Path, tmp_path: Path, phrase_file: Path
) -> None:
    kept, other = tmp_path / "kept.age", tmp_path / "other"
    phrase = ("--passphrase-file", str(phrase_file))

    made = site("backup", str(kept), *phrase)
    done = site("restore", str(kept), "-r", str(other), *phrase, in_root=False)

    assert (made.status, done.status) == (0, 0)
    assert f"Backed up UVN net, generation 4, to {kept}" in made.out
    assert "Restored UVN net, generation 4, as it was at " in done.out
    assert "2 cell packages and 1 particle package written to" in done.out
    assert "The next generation is 1004, higher than any that a cell can have" in done.out
    for path in (root / "cells").iterdir():
        assert (other / "cells" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.feature("G27")
def test_a_sealed_registry_is_restored_sealed(
    sealed: Uno, tmp_path: Path, phrase_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, other = tmp_path / "kept.age", tmp_path / "other"
    monkeypatch.setenv("UNO_PASSPHRASE", OTHER)
    assert sealed("backup", str(kept)).status == 0

    done = sealed("restore", str(kept), "-r", str(other), in_root=False)
    later = sealed(
        "packages", "-r", str(other), "--passphrase-file", str(phrase_file), in_root=False
    )

    assert done.status == 0
    assert "Its packages are not written yet: this is not the passph" in done.out
    assert later.status == 0
    assert len(list((other / "cells").iterdir())) == 2


def test_a_backup_is_not_replaced_without_a_yes_nor_put_into_the_registry(
    site: Uno, root: Path, tmp_path: Path, phrase_file: Path
) -> None:
    (tmp_path / "precious").write_text("x")
    phrase = ("--passphrase-file", str(phrase_file))

    kept = site("backup", str(tmp_path / "precious"), *phrase)
    inside = site("backup", str(root / "kept.age"), *phrase)
    without = site("backup", str(tmp_path / "new"))

    assert (kept.status, inside.status, without.status) == (2, 2, 2)
    assert "precious exists. Replace it?" in kept.err
    assert "within the registry that it is a backup of" in inside.err
    assert "the backup needs a passphrase; set UNO_PASSPHRASE, or add" in without.err
    assert (tmp_path / "precious").read_text() == "x"
    assert site("backup", str(tmp_path / "precious"), "-y", *phrase).status == 0


def test_a_restore_can_go_on_at_a_number(site: Uno, tmp_path: Path, phrase_file: Path) -> None:
    kept, other = str(tmp_path / "kept.age"), str(tmp_path / "other")
    phrase = ("--passphrase-file", str(phrase_file))
    site("backup", kept, *phrase)

    low = site("restore", kept, "-r", other, "--generation", "4", *phrase, in_root=False)
    high = site("restore", kept, "-r", other, "--generation", "50", *phrase, in_root=False)
    site("redeploy", "-r", other, in_root=False)

    assert (low.status, high.status) == (2, 0)
    assert "--generation 4 is not after generation 4 of the backup" in low.err
    shown = json.loads(site("show", "uvn", "--json", "-r", other, in_root=False).out)
    assert shown["generation"] == 50
