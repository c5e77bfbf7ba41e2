"""The directives that restrict an agent's unit."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from uno.host import sandbox, systemd
from uno.host.command import run

PROGRAM = ("/opt/uno/venv/bin/python", "-m", "uno")
# systemd-analyze(1): an exposure of 3.0, in tenths.
THRESHOLD = 29
TABLE = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "ProtectProc": "invisible",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "KeyringMode": "private",
    "UMask": "0077",
    "MemoryMax": "75%",
}


def found(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, flags=re.MULTILINE)


def units(root: Path) -> dict[str, str]:
    return {
        "once": systemd.unit(root, program=PROGRAM, name="lan-a"),
        "cell": systemd.agent_unit(root, program=PROGRAM, name="lan-a"),
        "registry": systemd.agent_unit(root, program=PROGRAM, name="uvn", of_cell=False),
    }


@pytest.fixture
def root() -> Path:
    """A directory of root's that is in nobody's home; it is only named."""
    return Path("/etc")


@pytest.mark.feature("G55")
@pytest.mark.parametrize("kind", ["once", "cell", "registry"])
def test_each_unit_has_the_directives_that_restrict_it(root: Path, kind: str) -> None:
    text = units(root)[kind]

    assert {name: found(text, name) for name in TABLE} == {k: [v] for k, v in TABLE.items()}
    assert found(text, "ReadWritePaths") == ["/etc", "/proc/sys/net"]


@pytest.mark.feature("G55")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("kind", ["once", "cell", "registry"])
def test_systemd_rates_the_exposure_of_each_unit_below_3(
    root: Path, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "uvn-agent.service"
    path.write_text(units(root)[kind])
    rate = ["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}"]

    done = run([*rate, "--no-pager", str(path)], check=False, timeout=60)

    assert done.status == 0, done.stdout + done.stderr


@pytest.mark.feature("G55")
def test_a_registry_can_do_less_than_a_cell(root: Path) -> None:
    texts = units(root)

    (cell,), (registry,) = (
        found(texts[it], "CapabilityBoundingSet") for it in ("cell", "registry")
    )
    assert set(registry.split()) < set(cell.split())
    assert "AF_PACKET" in found(texts["cell"], "RestrictAddressFamilies")[0]
    assert "AF_PACKET" not in found(texts["registry"], "RestrictAddressFamilies")[0]


@pytest.mark.parametrize(
    ("directory", "program", "home", "temporary"),
    [
        ("/opt/uvn", "/opt/uno", ["yes"], ["yes"]),
        (str(Path("/home", "john", "uvn")), "/opt/uno", ["read-only"], ["yes"]),
        ("/opt/uvn", str(Path("/root", "uno")), ["read-only"], ["yes"]),
        ("/tmp/uvn", "/opt/uno", ["yes"], []),  # noqa: S108
        ("/homes/uvn", "/opt/uno", ["yes"], ["yes"]),
    ],
)
def test_what_an_agent_needs_is_not_hidden_from_it(
    directory: str, program: str, home: list[str], temporary: list[str]
) -> None:
    text = sandbox.directives(Path(directory), programs=[Path(program)], of_cell=True)

    assert found(text, "ProtectHome") == home
    assert found(text, "PrivateTmp") == temporary
    assert directory in found(text, "ReadWritePaths")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a directory of another user")
def test_a_directory_of_another_user_costs_two_capabilities(tmp_path: Path) -> None:
    os.chown(tmp_path, 1000, 1000)

    text = sandbox.directives(tmp_path, programs=(), of_cell=False)

    (capabilities,) = found(text, "CapabilityBoundingSet")
    assert {"CAP_CHOWN", "CAP_DAC_OVERRIDE"} <= set(capabilities.split())
