"""What the registry hears of cells that it does not know, yet."""

from __future__ import annotations

from flooding import Cells
from uno.controller.receiver import Ear
from uno.ports.bus import Received


def test_what_a_new_cell_says_before_it_is_released_is_heard_once_it_is() -> None:
    cells = Cells(2)
    package = cells.package(1)
    first, second = ({each.id: each} for each in package.roster.members)
    ear = Ear(
        identity=package.plan.identity,
        registry_key=package.manifest.registry_key,
        members=first,
        since=0.0,
    )
    cells.advertise(2)
    for (channel, _), said in cells.executed[2].newest.items():
        ear.hear(Received(channel, said), now=1.0)
    assert ear.heard(now=1.0).keys() == {1}

    ear.trust(first | second, now=2.0)

    found = ear.heard(now=2.0)[2]
    assert found.alive
    assert found.sure
    assert found.status is not None
    assert found.status.generation == 1
