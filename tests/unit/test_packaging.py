"""What the Debian package says and does; `just package-test` installs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from uno.host import programs, systemd
from uno.host.command import PACKAGES, run
from uno.host.routing_frr.daemons import required_programs

DEB = Path(__file__).parents[2] / "packaging" / "deb"
AGENT, STATIC = "notify", "oneshot"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with systemd and the user of the bus; its programs note what they are called with."""
    for folder in ("run/systemd/system", "etc/systemd/system", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    made_program(
        tmp_path / "bin" / "systemctl",
        f'echo "$*" >>{tmp_path}/calls\n'
        'case "$1" in\n'
        f"  is-active) [ -e {tmp_path}/etc/systemd/system/$3 ] ;;\n"
        f'  show) sed -n "s/^Type=//p" {tmp_path}/etc/systemd/system/$5 ;;\n'
        "esac",
    )
    made_program(tmp_path / "bin" / "getent", f"[ -e {tmp_path}/$2 ]")
    made_program(tmp_path / "bin" / "useradd", f'echo "useradd $*" >>{tmp_path}/calls')
    for name in ("uno-bus", "uno-web"):
        (tmp_path / name).touch()
    made_program(tmp_path / "bin" / "uno", f'echo "uno $*" >>{tmp_path}/calls')
    return tmp_path


@pytest.mark.feature("F123")
@pytest.mark.feature("G59")
def test_an_upgrade_restarts_agents_and_reloads_cells_without_one(host: Path) -> None:
    put_unit(host, systemd.REGISTRY_UNIT, AGENT)
    put_unit(host, systemd.UNIT, STATIC)

    maintain(host, "postinst", "configure", "0.1.0")

    assert changes(host) == [
        "--no-block reload uvn-agent.service",
        "--no-block try-restart uvn-registry.service",
    ]


@pytest.mark.feature("F123")
@pytest.mark.parametrize("words", [("configure", ""), ("abort-upgrade", "0.1.0"), ("triggered",)])
def test_a_first_installation_and_a_failed_one_touch_no_unit(
    host: Path, words: tuple[str, ...]
) -> None:
    put_unit(host, systemd.UNIT, AGENT)

    maintain(host, "postinst", *words)

    assert changes(host) == []


@pytest.mark.feature("F123")
@pytest.mark.parametrize("name", ["uno-bus", "uno-web"])
def test_users_without_rights_are_made_once(host: Path, name: str) -> None:
    (host / name).unlink()

    maintain(host, "postinst", "configure", "")

    [made] = changes(host)
    assert made.startswith("useradd --system ")
    assert made.endswith(f" {name}")


@pytest.mark.feature("F123")
def test_removal_takes_unos_own_units_and_an_upgrade_none(host: Path) -> None:
    put_unit(host, systemd.UNIT, AGENT, root="/opt/my uvn")
    (host / "etc/systemd/system" / systemd.REGISTRY_UNIT).write_text("[Service]\nType=notify\n")

    maintain(host, "prerm", "upgrade", "0.2.0")
    assert changes(host) == []
    maintain(host, "prerm", "remove")

    assert changes(host) == ["uno service remove -q -r /opt/my uvn"]


@pytest.mark.feature("F123")
def test_a_unit_that_uno_cannot_remove_does_not_stay_without_it(host: Path) -> None:
    put_unit(host, systemd.UNIT, AGENT)
    made_program(host / "bin" / "uno", "exit 2")

    maintain(host, "prerm", "remove")

    assert changes(host) == ["disable --quiet --now uvn-agent.service", "daemon-reload"]
    assert not (host / "etc/systemd/system" / systemd.UNIT).exists()


@pytest.mark.feature("F123")
@pytest.mark.feature("G49")
def test_all_that_a_cell_runs_comes_with_the_package() -> None:
    listed = re.findall(r"^  - ([a-z0-9+.-]+)", (DEB / "nfpm.yaml").read_text(), re.MULTILINE)
    needed = {PACKAGES[name] for name in programs.REQUIRED}
    needed |= {PACKAGES[Path(name).name] for name in required_programs()}

    assert needed <= set(listed)
    # Names of protocols in rules, which nft looks up in /etc/protocols.
    assert "netbase" in listed
    # It would bring a kernel.
    assert "wireguard" not in listed


@pytest.mark.feature("F127")
def test_what_is_installed_is_for_linux() -> None:
    project = tomllib.loads((DEB.parents[1] / "pyproject.toml").read_text())["project"]
    systems = [each for each in project["classifiers"] if each.startswith("Operating System")]

    assert systems == ["Operating System :: POSIX :: Linux"]
    assert "\nplatform: linux\n" in (DEB / "nfpm.yaml").read_text()


@pytest.mark.feature("F123")
def test_needrestart_leaves_unos_units_alone() -> None:
    [pattern] = re.findall(r"qr\((.*?)\)", (DEB / "needrestart.conf").read_text())

    assert re.match(pattern, systemd.UNIT)
    assert re.match(pattern, systemd.REGISTRY_UNIT)
    assert not re.match(pattern, "frr.service")


# Helpers


def made_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put_unit(host: Path, name: str, kind: str, *, root: str = "/opt/uvn") -> None:
    unit = {
        AGENT: systemd.agent_unit(Path(root), program=["/opt/uno/uno"], name="x"),
        STATIC: systemd.unit(Path(root), program=["/opt/uno/uno"], name="x"),
    }[kind]
    (host / "etc/systemd/system" / name).write_text(unit)


def maintain(host: Path, script: str, *words: str) -> None:
    """Run a maintainer's script with the paths of `host` in place of the machine's."""
    text = (DEB / script).read_text()
    for place in ("/run/systemd/system", "/etc/systemd/system"):
        text = text.replace(place, f"{host}{place}")
    (host / script).write_text(text.replace("/usr/bin/uno", f"{host}/bin/uno"))
    run(["env", f"PATH={host}/bin:/usr/bin:/bin", "sh", str(host / script), *words])


def changes(host: Path) -> list[str]:
    calls = host / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return [line for line in lines if not line.startswith(("is-active", "show"))]
