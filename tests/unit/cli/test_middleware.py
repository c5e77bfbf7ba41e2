"""Which middleware is chosen, and the error where it cannot be."""

from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno.bus.dds import DdsBus
from uno.cli.middleware import licence, make_bus, require_licence
from uno.diagnostics import UnoError
from uno.model.plan import BusPlan
from uno.model.uvn import Middleware, Settings
from uno.ports.bus import BusConfig

TCP = BusPlan(middleware=Middleware.TCP)
CYCLONE = BusPlan(middleware=Middleware.CYCLONE)
CONNEXT = BusPlan(middleware=Middleware.CONNEXT)


@pytest.mark.feature("G31")
@pytest.mark.parametrize("plan", [TCP, CYCLONE])
def test_tcp_is_the_default_and_needs_no_licence_nor_does_cyclone(
    plan: BusPlan, tmp_path: Path
) -> None:
    assert Settings().middleware is Middleware.TCP
    assert isinstance(make_bus(plan, environ={}), DdsBus)
    require_licence(plan, environ={}, directory=tmp_path)
    assert licence(plan, environ={"RTI_LICENSE_FILE": "/none"}, directory=tmp_path) is None


@pytest.mark.feature("F099")
def test_connext_is_chosen_by_the_plan() -> None:
    assert isinstance(make_bus(CONNEXT, environ={}), DdsBus)
    assert isinstance(make_bus(CONNEXT, environ={"UNO_MIDDLEWARE": "connext"}), DdsBus)


@pytest.mark.feature("F099")
def test_a_bus_uses_the_middleware_of_each_configuration() -> None:
    """An agent that changes to another middleware stays the same process."""

    async def scene() -> None:
        bus = make_bus(CYCLONE, environ={})
        config = BusConfig(domain=0, address=IPv4Address("127.0.0.1"), tag="uno")
        with pytest.raises(UnoError, match="RTI Connext DDS has no licence"):
            bus.configure(replace(config, middleware=Middleware.CONNEXT), lambda _: None)

    asyncio.run(scene())


@pytest.mark.feature("F099")
def test_a_variable_that_contradicts_the_plan_is_an_error() -> None:
    with pytest.raises(UnoError, match=r"UNO_MIDDLEWARE is connext, but .* use cyclone"):
        make_bus(CYCLONE, environ={"UNO_MIDDLEWARE": "connext"})


@pytest.mark.parametrize(
    ("plan", "missing", "hint"),
    [
        (CYCLONE, "cyclonedds", "cyclonedds 11.0.1"),
        (CONNEXT, "rti", r"pip install 'uno-vpn\[connext\]'"),
    ],
)
def test_a_middleware_that_is_not_installed_is_one_error(
    plan: BusPlan, missing: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

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


@pytest.mark.feature("F098")
def test_a_host_without_the_licence_that_the_middleware_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnoError, match="this host has no licence for it"):
        require_licence(CONNEXT, environ={}, directory=tmp_path)

    (tmp_path / "rti_license.dat").touch()
    require_licence(CONNEXT, environ={}, directory=tmp_path)
