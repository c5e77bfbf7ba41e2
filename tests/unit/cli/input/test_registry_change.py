from __future__ import annotations

from pathlib import Path

import pytest

from commands import Uno
from uno.registry.changes import operations

CHANGES = [
    "define cell c -a c.example.org -N 192.168.3.0/24",
    "define particle laptop",
    "define user jane@example.org -p secret",
    "config uvn -U --dds-domain 12",
    "config cell a -U -n alpha",
    "config particle phone -U -n mobile",
    "config user john@example.org -U -n John",
    "ban cell b",
    "ban particle phone",
    "delete cell b",
    "delete particle phone",
    "rekey uvn -R",
    "rekey cell a -P",
    "rekey particle phone",
    "rekey backbone",
    "redeploy -S full-mesh",
]


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.feature("G47")
@pytest.mark.parametrize("words", CHANGES)
def test_a_rehearsal_writes_nothing_and_shows_what_would_happen(
    site: Uno, root: Path, words: str
) -> None:
    before = contents(root)

    done = site(*words.split(), "--dry-run")

    assert done.status == 0, done.err
    assert contents(root) == before
    assert "nothing was changed" in done.out.lower()
    assert "4 → 5" in done.out


@pytest.mark.feature("G47")
def test_a_uvn_is_rehearsed_without_making_a_directory(uno: Uno, root: Path) -> None:
    done = uno("define", "uvn", "net", "-o", "john@example.org", "-p", "x", "--dry-run")

    assert done.status == 0, done.err
    assert not root.exists()


@pytest.mark.feature("G26")
def test_the_history_shows_who_and_why(site: Uno, root: Path) -> None:
    site("define", "particle", "tablet", "--as", "Jane", "-m", "for the trip")
    site("config", "user", "john@example.org", "-U", "-p", "hunter2")

    with operations.opened(root) as registry:
        *_, reported, typed = registry.store.history()
    assert (reported.who, reported.why) == ("Jane", "for the trip")
    assert typed.why == "config user john@example.org -p … -U"
    assert "@" in typed.who


@pytest.mark.feature("G26")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["define", "particle", "x", "-v", "-y"], "define particle x"),
        (["define", "user", "j@example.org", "-phunter2"], "define user j@example.org -p …"),
        (["define", "user", "j@b.org", "--password=hunter2"], "define user j@b.org -p …"),
        (["config", "cell", "a", "-U", "--location", "the attic"],
         "config cell a --location 'the attic' -U"),
        (["redeploy", "-S", "static", "-D", "{a: [b]}"], "redeploy -S static -D '{a: [b]}'"),
    ],
)  # fmt: skip
def test_what_was_typed_stands_in_the_history_without_passwords(
    site: Uno, root: Path, words: list[str], why: str
) -> None:
    done = site(*words)

    assert done.status == 0, done.err
    with operations.opened(root) as registry:
        assert registry.store.head().entry.why == why
    assert b"hunter2" not in (root / "registry.db").read_bytes()


def test_a_specification_on_the_command_line_is_not_in_the_history(uno: Uno, root: Path) -> None:
    given = "{owner: a@b.org, users: [{email: a@b.org, password: hunter2}]}"

    assert uno("define", "uvn", "net", "-s", given).status == 0

    with operations.opened(root) as registry:
        assert registry.store.head().entry.why == "define uvn net -s …"


@pytest.mark.parametrize(("option", "text"), [("-m", "two\nlines"), ("--as", " ")])
def test_who_and_why_are_a_line_of_text(site: Uno, option: str, text: str) -> None:
    refused = site("define", "particle", "tablet", option, text)

    assert refused.status == 2
    assert "is not a line of text" in refused.err
