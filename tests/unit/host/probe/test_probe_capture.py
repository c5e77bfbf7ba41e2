"""What takes forwarding probes out of the kernel."""

from __future__ import annotations

import pytest

from uno.host.firewall import nft
from uno.host.firewall.foreign_chains import OURS
from uno.host.probe import probe_capture
from uno.host.probe.probe_capture import ProbeCapture
from uno.render.nftables import PROBE_TABLE

MARK = bytes.fromhex("0011223344556677")


class Table:
    """What nft has of the table, and how often it was set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generation, self.text, self.sets = 1, None, 0
        monkeypatch.setattr(nft, "generation", lambda: bytes([self.generation]))
        monkeypatch.setattr(nft, "listing", lambda _: self.text)
        monkeypatch.setattr(nft, "replace_table", self.replace)
        monkeypatch.setattr(probe_capture, "_bound", NoSocket)

    def replace(self, name: str, text: str | None) -> None:
        assert name == PROBE_TABLE
        self.text, self.sets = text, self.sets + 1
        self.generation += 1


class NoSocket:
    def close(self) -> None:
        pass


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table(monkeypatch)


@pytest.mark.feature("G52")
def test_only_packets_with_the_mark_on_their_way_into_a_lan_are_taken() -> None:
    text = probe_capture.ruleset(("lan0", "lan0.5"), MARK)

    assert 'oifname != { "lan0", "lan0.5" } accept' in text
    assert text.count("@th,64,64 0x0011223344556677 goto probes") == 2
    assert ("inet", PROBE_TABLE) in OURS


@pytest.mark.feature("G52")
def test_the_table_is_set_once_and_again_where_another_program_has_removed_it(table: Table) -> None:
    capture = ProbeCapture(MARK)

    assert capture.follow(("lan0",))
    assert not capture.follow(("lan0",))
    # Another table has changed.
    table.generation += 1
    assert not capture.follow(("lan0",))
    assert table.sets == 1

    table.text, table.generation = None, table.generation + 1
    assert capture.follow(("lan0",))
    assert capture.follow(("lan0", "lan1"))
    assert table.sets == 3

    capture.close()
    assert table.text is None


def test_a_capture_that_has_set_no_table_removes_none(table: Table) -> None:
    ProbeCapture(MARK).close()

    assert table.sets == 0
