from __future__ import annotations

from pathlib import Path

import pytest

from commands import Uno


@pytest.mark.feature("G49")
def test_a_cell_is_exported_as_plain_files_that_only_the_owner_reads(
    site: Uno, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    done = site("export", "cell", "a", "--files", str(out), "-i", "eth1")

    assert done.status == 0, done.err
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"start", "stop", "uno.nft", "frr/zebra.startup", "frr/bgpd.startup"} <= names
    assert any(name.startswith("wg/") for name in names)
    assert {path.stat().st_mode & 0o077 for path in (out, *out.rglob("*"))} == {0}
    assert '"eth1"' in (out / "uno.nft").read_text()


@pytest.mark.feature("G49")
def test_another_export_replaces_the_first_and_nothing_else(site: Uno, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    site("export", "cell", "a", "--files", str(out), "-i", "eth1")
    (out / "wg" / "uwg-b9.conf").write_text("of a link that is gone")
    other.mkdir()
    (other / "kept").write_text("x")

    again = site(
        "export", "cell", "a", "--files", str(out), "--lan-interface", "192.168.1.0/24=br0"
    )
    refused = site("export", "cell", "a", "--files", str(other), "-i", "eth1")

    assert again.status == 0, again.err
    assert not (out / "wg" / "uwg-b9.conf").exists()
    assert "br0" in (out / "uno.nft").read_text()
    assert refused.status != 0
    assert "is not empty, and no export of a cell" in refused.err
    assert [path.name for path in other.iterdir()] == ["kept"]


@pytest.mark.feature("G49")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cell", "a"), "this exports no cell"),
        (("--files", "x"), "this exports no cell"),
        (("uvn.yml", "a", "--files", "x"), "this exports no cell"),
        (("cell", "z", "--files", "x", "-i", "eth1"), "z"),
        (("cell", "a", "--files", "x"), "which interface of the host leads to 192.168.1.0/24?"),
        (("cell", "a", "--files", "x", "-i", "10.0.0.0/8=eth1"), "names no LAN of the cell"),
        (("cell", "a", "--files", "x", "-i", "lan=eth1"), "names no LAN of the cell"),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(
    words: tuple[str, ...],
    message: str,
    site: Uno,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    done = site("export", *words)

    assert done.status == 2
    assert message in done.err
    assert not (tmp_path / "x").exists()
