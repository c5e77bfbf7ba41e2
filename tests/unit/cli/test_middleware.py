"""Which middleware is chosen, and the error where it cannot be."""

from __future__ import annotations

import sys
from base64 import b64encode
from dataclasses import fields
from pathlib import Path

import pytest

from uno.bus.connext import ConnextBus
from uno.bus.cyclone import CycloneBus
from uno.cli.middleware import licence, make_bus, security
from uno.diagnostics import UnoError
from uno.model.key_ids import dds_file
from uno.model.plan import BusPlan
from uno.model.uvn import Middleware
from uno.ports.bus import Security

CYCLONE = BusPlan()
SECURED = BusPlan(security=True)
CONNEXT = BusPlan(middleware=Middleware.CONNEXT)


@pytest.mark.feature("G31")
def test_cyclone_is_the_default_and_needs_no_licence(tmp_path: Path) -> None:
    assert isinstance(make_bus(CYCLONE, environ={}), CycloneBus)
    assert licence(CYCLONE, environ={"RTI_LICENSE_FILE": "/none"}, directory=tmp_path) is None


@pytest.mark.feature("F099")
def test_connext_is_chosen_by_the_plan() -> None:
    assert isinstance(make_bus(CONNEXT, environ={}), ConnextBus)
    assert isinstance(make_bus(CONNEXT, environ={"UNO_MIDDLEWARE": "connext"}), ConnextBus)


@pytest.mark.feature("F099")
def test_a_variable_that_contradicts_the_plan_is_an_error() -> None:
    with pytest.raises(UnoError, match=r"UNO_MIDDLEWARE is connext, but .* use cyclone"):
        make_bus(CYCLONE, environ={"UNO_MIDDLEWARE": "connext"})


@pytest.mark.parametrize(
    ("plan", "missing", "hint"),
    [
        (CYCLONE, "cyclone", "cyclonedds 11.0.1"),
        (CONNEXT, "connext", r"pip install 'uno-vpn\[connext\]'"),
    ],
)
def test_a_middleware_that_is_not_installed_is_one_error(
    plan: BusPlan, missing: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"uno.bus.{missing}", None)

    with pytest.raises(UnoError, match="not installed here.*" + hint):
        make_bus(plan, environ={})


@pytest.mark.feature("F098")
def test_the_licence_is_that_of_the_variable_else_of_the_agent_else_of_the_container(
    tmp_path: Path,
) -> None:
    root, agent = tmp_path / "root", tmp_path / "agent"
    root.mkdir()
    agent.mkdir()
    assert licence(CONNEXT, environ={}, directory=agent, root=root) is None

    (root / "rti_license.dat").touch()
    found = licence(CONNEXT, environ={}, directory=agent, root=root)
    assert found == str(root / "rti_license.dat")

    (agent / "rti_license.dat").touch()
    found = licence(CONNEXT, environ={}, directory=agent, root=root)
    assert found == str(agent / "rti_license.dat")

    named = tmp_path / "named.dat"
    named.touch()
    environ = {"RTI_LICENSE_FILE": str(named)}
    assert licence(CONNEXT, environ=environ, directory=agent, root=root) == str(named)


@pytest.mark.feature("F098")
def test_a_variable_that_names_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnoError, match=r"RTI_LICENSE_FILE names .*none\.dat, which is not"):
        licence(
            CONNEXT, environ={"RTI_LICENSE_FILE": str(tmp_path / "none.dat")}, directory=tmp_path
        )


@pytest.mark.feature("F041")
def test_the_files_of_dds_security_are_the_agents_alone(tmp_path: Path) -> None:
    names = [field.name for field in fields(Security)]
    secrets = {dds_file(name): b64encode(name.encode()).decode() for name in names}

    found = security(SECURED, secrets=secrets, directory=tmp_path)

    assert found is not None
    for name in names:
        path = Path(getattr(found, name))
        assert path.read_text() == name
        assert path.stat().st_mode & 0o777 == 0o600


def test_without_dds_security_there_are_no_files(tmp_path: Path) -> None:
    assert security(CYCLONE, secrets={}, directory=tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_the_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnoError, match="has no identity_ca"):
        security(SECURED, secrets={}, directory=tmp_path)
