"""What a sender observes in the view of its cell."""

from __future__ import annotations

import pytest

from pictures import (
    NOW,
    corp,
    link_down,
    picture_of,
    silent,
    unreached,
    with_cell,
    with_status,
    with_view,
)
from uno.cli.notified_causes import observed
from uno.model.notification_targets import Notifying
from uno.notify.notifier import SenderView
from uno.web.picture import Picture

PARIS, ROME, OSLO = 1, 2, 3
SETTINGS = Notifying(to=("https://hooks.example.org/uno",), senders=(PARIS, ROME))


def seen(picture: Picture) -> SenderView:
    assert picture.package is not None
    return observed(picture.view, picture.directory, picture.package, SETTINGS)


@pytest.mark.feature("G50")
def test_a_silent_site_is_one_condition_and_no_sender() -> None:
    well = seen(picture_of(corp(), viewer=PARIS))
    lost = seen(silent(picture_of(corp(), viewer=PARIS), ROME))

    assert well.conditions == {}
    assert well.alive.keys() == {PARIS, ROME}
    (condition,) = lost.conditions.values()
    assert condition.subject == "rome"
    assert lost.alive.keys() == {PARIS}
    assert lost.page.startswith("https://")


@pytest.mark.feature("G50")
def test_a_change_that_was_rolled_back_is_an_event_of_its_own() -> None:
    picture = picture_of(corp(), viewer=PARIS)

    first = seen(with_view(picture, undone=3, reason="oslo rolled back"))
    second = seen(with_view(picture, undone=4, reason="oslo rolled back"))

    assert [each.subject for each in first.events] == ["generation 3"]
    assert first.events[0].id != second.events[0].id
    assert first.conditions == {}


def test_what_is_being_rolled_out_is_no_condition_and_delays_others() -> None:
    picture = with_view(picture_of(corp(), viewer=PARIS), rollout="staging generation 3", waiting=2)

    found = seen(picture)

    assert found.changing
    assert found.conditions == {}


@pytest.mark.feature("G50")
def test_of_a_muted_cell_its_lans_and_its_links_nobody_is_notified() -> None:
    well = with_status(picture_of(corp(), viewer=PARIS), ROME, muted_until=NOW + 600)
    lan = next(lan for lan, owner in well.lans if owner == ROME)
    other = next(lan for lan, owner in well.lans if owner == OSLO)

    for wrong in (
        silent(well, ROME),
        link_down(well, PARIS, ROME),
        unreached(well, PARIS, lan),
        unreached(well, ROME, other),
        with_status(well, ROME, problem="the disk is full"),
    ):
        found = seen(wrong)
        assert found.conditions
        assert found.muted == found.conditions.keys()
    both = seen(unreached(unreached(well, ROME, other), PARIS, other))
    assert both.conditions
    assert both.muted == frozenset()
    assert seen(silent(well, OSLO)).muted == frozenset()


@pytest.mark.feature("G50")
def test_a_cell_is_muted_while_it_is_off_until_the_time_is_up() -> None:
    picture = with_status(picture_of(corp(), viewer=PARIS), ROME, muted_until=NOW + 600)
    lost = silent(picture, ROME)

    # Its last status was made at NOW - 10.
    before = seen(with_cell(lost, ROME, status_age=609.0))
    after = seen(with_cell(lost, ROME, status_age=610.0))

    assert before.muted == before.conditions.keys() == after.conditions.keys()
    assert after.muted == frozenset()
