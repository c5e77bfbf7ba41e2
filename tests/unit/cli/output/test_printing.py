from __future__ import annotations

import pytest

from commands import Uno
from uno.cli.output import printing


def test_a_large_change_is_cut_and_shows_how_to_see_it_all(uno: Uno) -> None:
    cells = ", ".join(f"{{name: c{i}, address: c{i}.example.org}}" for i in range(60))
    spec = f"{{owner: a@b.org, cells: [{cells}]}}"

    cut = uno("define", "uvn", "net", "-s", spec)

    assert len([line for line in cut.out.splitlines() if line.startswith("+ ")]) == 40
    assert "more lines; -v shows them" in cut.out
    assert "60 cell packages written to" in cut.out
    assert "and 56 more" in " ".join(cut.out.split())


def test_with_v_a_large_change_is_shown_in_full(uno: Uno) -> None:
    cells = ", ".join(f"{{name: c{i}, address: c{i}.example.org}}" for i in range(60))

    shown = uno("define", "uvn", "net", "-v", "-s", f"{{owner: a@b.org, cells: [{cells}]}}")

    assert len([line for line in shown.out.splitlines() if line.startswith("+ cell")]) == 60


@pytest.mark.parametrize(
    ("number", "reported"), [(1, "1 cell"), (2, "2 cells"), (1200, "1,200 cells")]
)
def test_counts_have_their_noun(number: int, reported: str) -> None:
    assert printing.count(number, "cell") == reported


def test_a_table_in_a_pipe_is_plain_and_without_spaces_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.table(("NAME", "PORT"), [("[bold]a[/]", 1), ("b", None)], empty="none")

    assert capsys.readouterr().out == "NAME        PORT\n[bold]a[/]     1\nb              –\n"


def test_facts_without_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    printing.facts((("name", "a"), ("address", None), ("lans", ("1", "2"))))

    assert capsys.readouterr().out == "name  a\nlans  1\n      2\n"
