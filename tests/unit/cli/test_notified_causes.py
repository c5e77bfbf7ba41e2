"""What a sender observes in the view of its cell."""

from __future__ import annotations

import pytest

from pictures import corp, picture_of, silent, with_view
from uno.cli.notified_causes import observed
from uno.model.notification_targets import Notifying
from uno.notify.notifier import SenderView
from uno.web.picture import Picture

PARIS, ROME = 1, 2
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
