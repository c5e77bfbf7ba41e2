"""What is remembered of a host: added to, taken from, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uno.host import host_state
from uno.host.host_state import HostState, StateFile, TunnelNote


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "run" / "state.json")


def test_a_host_without_a_file_has_nothing_to_remember(state: StateFile) -> None:
    assert state.read() == HostState()


def test_a_file_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"node": 7')

    assert StateFile(tmp_path / "state.json").read() == HostState()


def test_each_note_leaves_the_others_alone(state: StateFile) -> None:
    state.note_node("uno0")
    state.note_tunnel("uwg-b0", TunnelNote(port=63550, endpoints={"KEY=": "gw.example.org:1"}))
    state.note_tunnel("uwg-b1", TunnelNote())
    state.note_sysctl("net.ipv4.ip_forward", "0")
    state.note_firewall("given", "listed")
    state.note_tunnel("uwg-b1", None)

    assert state.read() == HostState(
        node="uno0",
        sysctls={"net.ipv4.ip_forward": "0"},
        tunnels={"uwg-b0": TunnelNote(port=63550, endpoints={"KEY=": "gw.example.org:1"})},
        firewall="given",
        listing="listed",
    )


def test_the_first_value_of_a_parameter_is_the_one_from_before_uno(state: StateFile) -> None:
    state.note_sysctl("a", "0")
    state.note_sysctl("a", "1")
    state.note_sysctl("b", "5")
    assert state.read().sysctls == {"a": "0", "b": "5"}

    state.note_sysctl("a", None)
    state.note_sysctl("never", None)

    assert state.read().sysctls == {"b": "5"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "cell" / "before-uno.json"
    path.parent.mkdir()
    return path


def noted(tmp_path: Path, copy: Path) -> Path:
    """A file in /run with notes, and its copy."""
    path = tmp_path / "run" / "state.json"
    state = StateFile(path, copy=copy)
    state.note_node("uno0")
    state.note_sysctl("net.ipv4.ip_forward", "0")
    state.note_translated([4])
    return path


@pytest.mark.feature("G51")
def test_values_from_before_uno_outlive_run(tmp_path: Path, copy: Path) -> None:
    path = noted(tmp_path, copy)
    path.unlink()

    state = StateFile(path, copy=copy)
    assert not state.exists()
    assert state.read() == HostState(sysctls={"net.ipv4.ip_forward": "0"}, translated=(4,))
    state.note_sysctl("net.ipv4.ip_forward", "1")

    assert StateFile(path).read().sysctls == {"net.ipv4.ip_forward": "0"}


@pytest.mark.feature("G51")
@pytest.mark.parametrize("other", ["after a reboot", "another network namespace"])
def test_values_of_another_kernel_are_none(
    tmp_path: Path, copy: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = noted(tmp_path, copy)
    path.unlink()
    boot, namespace = json.loads(copy.read_text())["kernel"].split()
    if other == "after a reboot":
        id_file = tmp_path / "boot_id"
        id_file.write_text("5b2c\n")
        monkeypatch.setattr(host_state, "_BOOT_ID", id_file)
    else:
        content = copy.read_text()
        copy.write_text(content.replace(f"{boot} {namespace}", f"{boot} {namespace}1"))

    assert StateFile(path, copy=copy).read() == HostState()


@pytest.mark.feature("G51")
def test_of_a_cell_that_owns_nothing_any_more_no_copy_is_left(tmp_path: Path, copy: Path) -> None:
    path = noted(tmp_path, copy)

    StateFile(path, copy=copy).remove()
    path.unlink()

    assert not copy.exists()
    assert StateFile(path, copy=copy).read() == HostState()


@pytest.mark.feature("G51")
def test_where_no_copy_can_be_written_the_file_is(tmp_path: Path) -> None:
    path = noted(tmp_path, tmp_path / "missing" / "before-uno.json")

    assert StateFile(path).read().sysctls == {"net.ipv4.ip_forward": "0"}


@pytest.mark.feature("G25")
def test_only_what_was_noted_is_owned(state: StateFile) -> None:
    assert not state.read().owns("")
    state.note_node("uno0")
    state.note_tunnel("uwg-b0", TunnelNote())

    owned = [name for name in ("uno0", "uwg-b0", "eth0", "") if state.read().owns(name)]

    assert owned == ["uno0", "uwg-b0"]


def test_what_another_process_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    one, other = StateFile(path), StateFile(path)
    one.note_node("uno0")
    assert other.read().node == "uno0"
    assert other.read() is other.read()

    one.note_node("uno1")

    assert other.read().node == "uno1"
    path.unlink()
    assert other.read() == HostState()
