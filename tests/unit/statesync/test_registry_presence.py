"""When a cell has the registry in contact, and when it had it just before."""

from __future__ import annotations

import pytest

from uno.statesync.registry_presence import RegistryPresence
from uno.statesync.timers import MAX_AGE

GRACE = 3.0


@pytest.fixture
def presence() -> RegistryPresence:
    """A registry that is present since time 0."""
    found = RegistryPresence(grace=GRACE)
    found.note_writers(1, now=0.0)
    found.note_heartbeat(received_at=0.0)
    assert found.is_present(now=0.0)
    return found


@pytest.mark.feature("G05")
def test_it_was_in_contact_until_so_long_after_it_left(presence: RegistryPresence) -> None:
    presence.note_writers(0, now=5.0)
    presence.note_writers(0, now=8.0)

    assert not presence.is_present(now=5.0)
    assert presence.was_in_contact(within=7.0, now=11.9)
    assert not presence.was_in_contact(within=7.0, now=12.0)
    assert presence.changes_at() == 5.0 + GRACE


@pytest.mark.feature("G05")
def test_a_message_that_comes_directly_is_contact_after_a_false_report(
    presence: RegistryPresence,
) -> None:
    """The bus delivers again only what it has not delivered yet, so no heartbeat follows."""
    presence.note_writers(0, now=5.0)
    presence.note_writers(1, now=6.0)
    assert not presence.is_present(now=20.0)
    assert not presence.was_in_contact(within=7.0, now=20.0)

    presence.note_contact(now=20.0)

    assert presence.was_in_contact(within=7.0, now=26.9)
    assert not presence.was_in_contact(within=7.0, now=27.0)


def test_a_registry_that_is_silent_while_its_writer_is_there_has_not_just_left(
    presence: RegistryPresence,
) -> None:
    assert presence.was_in_contact(within=7.0, now=MAX_AGE - 0.1)
    assert not presence.was_in_contact(within=7.0, now=MAX_AGE)
    presence.note_writers(0, now=MAX_AGE)
    assert not presence.was_in_contact(within=7.0, now=MAX_AGE)


def test_one_that_was_never_there_was_not_present_before() -> None:
    presence = RegistryPresence(grace=GRACE)
    presence.note_writers(0, now=0.0)

    assert not presence.was_in_contact(within=7.0, now=0.0)
    assert presence.changes_at() is None
