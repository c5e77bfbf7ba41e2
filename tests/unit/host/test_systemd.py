"""The units that are started at boot, with a systemctl that records its arguments."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.host import systemd
from uno.host.command import Completed, run

PROGRAM = ("/opt/uno/venv/bin/python", "-m", "uno")


class Systemctl:
    """Stands in for `uno.host.command.run`."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, argv: list[str], **_: object) -> Completed:
        assert argv[0] == "systemctl"
        self.told.append(" ".join(argv[1:]))
        return Completed(argv=tuple(argv), status=0, stdout="", stderr="")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    stand_in = Systemctl()
    monkeypatch.setattr(systemd, "run", stand_in)
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    return stand_in


@pytest.mark.feature("F100")
def test_a_unit_is_put_in_place_once(systemctl: Systemctl, tmp_path: Path) -> None:
    root = Path("/opt/uvn")
    text = systemd.unit(root, program=PROGRAM, name="cell lan-a of corp")

    assert systemd.install(text, root)
    assert not systemd.install(text, root)

    assert (tmp_path / "uvn-agent.service").read_text() == text
    assert systemctl.told == ["daemon-reload"]


@pytest.mark.feature("F101")
def test_a_unit_is_stopped_disabled_and_deleted(systemctl: Systemctl, tmp_path: Path) -> None:
    root = Path("/opt/uvn")
    systemd.install(systemd.unit(root, program=PROGRAM, name="lan-a"), root)
    systemctl.told.clear()

    assert systemd.remove(root)
    assert not systemd.remove(root)

    assert systemctl.told == ["disable --now uvn-agent.service", "daemon-reload"]
    assert not list(tmp_path.iterdir())


@pytest.mark.feature("F100")
@pytest.mark.feature("G51")
def test_a_cell_without_an_agent_is_connected_again_until_nothing_is_missing() -> None:
    """What is up meanwhile stays up."""
    lines = systemd.unit(Path("/opt/uvn"), program=PROGRAM, name="cell lan-a of corp").splitlines()

    assert {"Type=oneshot", "RemainAfterExit=yes", "Restart=on-failure"} <= set(lines)
    assert {"StartLimitIntervalSec=0", "RestartSec=10", "KillMode=process"} <= set(lines)


@pytest.mark.feature("F104")
def test_an_agent_notifies_readiness_and_is_restarted_whenever_it_ends() -> None:
    text = systemd.agent_unit(Path("/opt/uvn"), program=PROGRAM, name="cell lan-a of corp")

    lines = text.splitlines()
    assert {"Type=notify", "WatchdogSec=60", "Restart=always"} <= set(lines)
    assert "ExecStart=/opt/uno/venv/bin/python -m uno agent -r /opt/uvn" in lines
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines


@pytest.mark.feature("G12")
def test_only_a_cells_agent_is_ended_with_its_unit() -> None:
    cell = systemd.agent_unit(Path("/opt/uvn"), program=PROGRAM, name="cell lan-a")
    registry = systemd.agent_unit(
        Path("/opt/uvn"), program=PROGRAM, name="the registry", of_cell=False
    )

    assert "KillMode=process" in cell.splitlines()
    assert "ExecStop" not in cell
    assert "KillMode" not in registry


@pytest.mark.feature("F105")
def test_an_agent_takes_over_from_a_host_that_was_connected_once_and_gives_it_back(
    systemctl: Systemctl,
) -> None:
    root = Path("/opt/uvn")
    once = systemd.unit(root, program=PROGRAM, name="lan-a")
    agent = systemd.agent_unit(root, program=PROGRAM, name="lan-a")
    systemd.install(once, root)

    systemctl.told.clear()
    systemd.start(agent, changed=systemd.install(agent, root))
    # What the new unit does when it stops is nothing: the network stays up.
    assert systemctl.told == ["daemon-reload", "restart uvn-agent.service"]

    systemctl.told.clear()
    systemd.start(once, changed=systemd.install(once, root))
    # The agent ends while its own unit is in place, which leaves the network up, too.
    assert systemctl.told == [
        "stop uvn-agent.service",
        "daemon-reload",
        "reload-or-restart uvn-agent.service",
    ]


@pytest.mark.feature("F100")
def test_the_registry_has_a_unit_of_its_own(systemctl: Systemctl, tmp_path: Path) -> None:
    root = Path("/opt/registry")
    text = systemd.agent_unit(root, program=PROGRAM, name="the registry", of_cell=False)

    systemd.install(text, root, unit=systemd.REGISTRY_UNIT)
    systemd.start(text, changed=True, unit=systemd.REGISTRY_UNIT)

    assert [path.name for path in tmp_path.iterdir()] == ["uvn-registry.service"]
    assert systemctl.told == ["daemon-reload", "restart uvn-registry.service"]
    assert systemd.remove(root, unit=systemd.REGISTRY_UNIT)


@pytest.mark.feature("G25")
@pytest.mark.parametrize("there", ["[Unit]\n", "# Made by `uno service install` for /opt/other\n"])
def test_a_foreign_unit_is_not_changed(systemctl: Systemctl, tmp_path: Path, there: str) -> None:
    (tmp_path / "uvn-agent.service").write_text(there)
    root = Path("/opt/uvn")

    with pytest.raises(UnoError, match="is there already"):
        systemd.install(systemd.unit(root, program=PROGRAM, name="lan-a"), root)
    with pytest.raises(UnoError, match="is not for /opt/uvn"):
        systemd.remove(root)

    assert (tmp_path / "uvn-agent.service").read_text() == there
    assert systemctl.told == []


def test_without_systemd_the_message_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "no")

    with pytest.raises(UnoError, match="does not run systemd; have its init system keep"):
        systemd.switch("start")


@pytest.mark.feature("F100")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("name", ["uvn", "my uvn", "50% off", 'a "b"', "a$b"])
def test_systemd_takes_the_unit_as_it_is_meant(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    path = tmp_path / "uvn-agent.service"
    program = (sys.executable, "-m", "uno")
    for make in (systemd.unit, systemd.agent_unit):
        path.write_text(make(root, program=program, name=f"cell {name}"))

        done = run(["systemd-analyze", "verify", "--man=no", str(path)], check=False, timeout=60)

        assert "uvn-agent.service" not in done.stderr
