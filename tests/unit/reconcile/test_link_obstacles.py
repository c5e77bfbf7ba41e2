"""A link's interface that somebody has configured otherwise is named where the link is silent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from packages import HUB, package_of
from uno.model.tunnel import Tunnel
from uno.reconcile.link_obstacles import link_obstacles
from uno.render.tunnels import tunnels

PACKAGE = package_of(HUB)
WANTED = tunnels(PACKAGE)
LINK = PACKAGE.plan.links[0]


def found(*there: Tunnel, silent: bool = True) -> list[str]:
    names = {LINK.interface} if silent else set()
    named = link_obstacles(PACKAGE, desired=WANTED, observed=there, silent=names)
    assert all(each.links == {LINK.interface} for each in named)
    return [each.what for each in named]


@pytest.mark.feature("G42")
def test_an_interface_at_another_port_is_named_only_where_its_link_is_silent() -> None:
    other = tuple(replace(each, port=5) if each.name == LINK.interface else each for each in WANTED)

    assert found(*other) == [
        f"{LINK.interface} listens at UDP port 5, and not at {LINK.port} as this cell's package"
    ]
    assert found(*other, silent=False) == []


def test_a_link_that_is_silent_for_other_reasons_has_none() -> None:
    longer = tuple(replace(each, mtu=1280) for each in WANTED)

    assert found(*WANTED) == found(*longer) == []
