"""uno's table goes in and out in one transaction each, and nothing else is named."""

from __future__ import annotations

import pytest

from uno.host import nft
from uno.host.command import Completed


class Nft:
    """Stands for the `nft` program."""

    def __init__(self, *, status: int = 0, stdout: str = "") -> None:
        self.status, self.stdout = status, stdout
        self.asked: list[str] = []
        self.given: list[str] = []

    def __call__(self, argv: list[str], *, stdin: str = "", check: bool = True) -> Completed:
        assert self.status == 0 or not check
        self.asked.append(" ".join(argv))
        self.given.append(stdin)
        return Completed(argv=tuple(argv), status=self.status, stdout=self.stdout, stderr="")


@pytest.mark.feature("F080")
@pytest.mark.feature("G25")
def test_the_table_is_replaced_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Nft()
    monkeypatch.setattr(nft, "run", program)

    nft.replace_table("uno", "table inet uno {\n}\n")
    nft.replace_table("uno", None)

    clear = "table inet uno\ndelete table inet uno\n"
    assert program.asked == ["nft -f -", "nft -f -"]
    assert program.given == [f"{clear}table inet uno {{\n}}\n", clear]


def test_a_table_is_listed_without_its_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Nft(stdout="table inet uno {\n}\n")
    monkeypatch.setattr(nft, "run", program)

    assert nft.listing("uno") == "table inet uno {\n}\n"
    assert program.asked == ["nft -s list table inet uno"]


def test_no_table_is_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "run", Nft(status=1))

    assert nft.listing("uno") is None
