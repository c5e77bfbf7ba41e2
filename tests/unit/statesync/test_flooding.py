"""The commands that a cell's flooding returns."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from flooding import GRACE, Cells, advertisement, registry_key, writes
from uno.model.codec import encode
from uno.model.messages import (
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    Kind,
    Phase,
    UvnAnnouncement,
)
from uno.model.network_directory import Directory
from uno.model.status import CellStatus
from uno.model.trust import Revocation, TrustUpdate, obeying
from uno.ports.bus import OWN, Channel, Presence, Topic, offers_for, offers_to_relay
from uno.statesync.complaints import INTERVAL, UNKNOWN_NODE, Complaint
from uno.statesync.flood_queue import HOLD, MAX_HOLD, MAX_PACING, PACING
from uno.statesync.flooding import (
    Rejoin,
    ReserveSequence,
    StateChanged,
    Subscribe,
    Warn,
    Withdraw,
    Write,
)
from uno.statesync.sequence import BLOCK, LIMIT, MOST_UNSEEN
from uno.statesync.timers import FORGET_AGE, MAX_AGE
from uno.statesync.unknown_origins import MAX_KEPT_FOR

ROLLING_OUT = UvnAnnouncement(generation=2, rollout="changing over to generation 2")
AT_REST = UvnAnnouncement(generation=2)


def relayed(*cells: int) -> list[tuple[str, str, int]]:
    return [("STATUS", "relay", cell) for cell in cells]


def test_numbers_are_reserved_before_the_first_of_them_is_written() -> None:
    cells = Cells(2)

    reserve, write = cells.advertise(1)

    assert reserve == ReserveSequence(BLOCK)
    assert isinstance(write, Write)
    assert (write.channel, write.envelope.sequence) == (Channel(Topic.STATUS), 1)
    (second,) = cells.advertise(1)
    assert isinstance(second, Write)
    assert second.envelope.sequence == 2


def test_a_cell_subscribes_to_flooded_topics_and_to_its_offers() -> None:
    cells = Cells(1)
    channels = {each.channel for each in cells.floods[1].subscribe() if isinstance(each, Subscribe)}

    assert len(channels) == 17
    assert {offers_for(1), Channel(Topic.ACK, "relay"), Channel(Topic.UVN)} < channels


def test_what_is_newer_is_a_change_and_the_same_again_is_none() -> None:
    cells = Cells(2)
    cells.advertise(2)

    assert cells.sync(1, 2) == (StateChanged(),)
    assert cells.sync(1, 2) == ()


def test_the_first_status_is_flooded_at_once_and_those_that_follow_together() -> None:
    cells = Cells(4)
    flooded = []
    for number, cell in enumerate((2, 3, 4)):
        cells.now = number * PACING
        cells.advertise(cell)
        cells.sync(1, cell)
        flooded += cells.flood_due(1)
    assert writes(flooded) == relayed(2)

    due = cells.next_flood(1)

    assert due == 4 * PACING
    cells.now = due
    assert writes(cells.flood_due(1)) == relayed(3, 4)
    assert cells.next_flood(1) is None


def test_of_many_statuses_of_a_cell_the_newest_is_flooded_and_once() -> None:
    cells = Cells(2)
    for generation in range(1, 6):
        cells.advertise(2, generation)
        cells.sync(1, 2)

    (write,) = cells.flood_due(1)

    assert isinstance(write, Write)
    assert write.envelope.sequence == cells.floods[2].database.highest_sequence(2)
    assert write.envelope.relayed_by == 1


@pytest.mark.parametrize("because", ["of a rollout", "of the cell's own pending commit"])
def test_during_a_change_statuses_are_held_but_not_for_ever(because: str) -> None:
    cells, own = Cells(3), because == "of the cell's own pending commit"
    cells.set_registry_present(1, present=True)
    if not own:
        cells.from_registry(1, ROLLING_OUT)
    cells.advertise(2)
    cells.sync(1, 2)

    due = cells.next_flood(1, awaiting_confirm=own)

    assert due == 3 * HOLD
    assert cells.flood_due(1, awaiting_confirm=own) == ()
    cells.now = due
    assert writes(cells.flood_due(1, awaiting_confirm=own)) == relayed(2)
    assert cells.next_flood(1, awaiting_confirm=own) is None


def test_at_the_end_of_a_rollout_nothing_is_held() -> None:
    cells = Cells(3)
    cells.set_registry_present(1, present=True)
    cells.from_registry(1, ROLLING_OUT)
    cells.advertise(2)
    cells.sync(1, 2)
    assert cells.flood_due(1) == ()

    cells.from_registry(1, AT_REST)

    assert writes(cells.flood_due(1)) == relayed(2)


def test_nothing_is_held_for_a_registry_that_has_left() -> None:
    cells = Cells(3)
    cells.set_registry_present(1, present=True)
    cells.from_registry(1, ROLLING_OUT)
    cells.set_registry_present(1, present=False)
    cells.now = GRACE
    cells.advertise(2)
    cells.sync(1, 2)

    assert writes(cells.flood_due(1)) == relayed(2)


def test_the_status_of_a_cell_unreachable_from_the_registry_is_flooded_at_once() -> None:
    cells = Cells(3)
    cells.from_registry(
        1, UvnAnnouncement(generation=2, rollout="staging", unreachable_from_registry=(2,))
    )
    cells.advertise(2)

    assert writes(cells.sync(1, 2)) == [*relayed(2), ("STATUS", "for-registry", 2)]
    assert not cells.floods[1].queue


def test_queued_statuses_of_a_cell_are_flooded_once_it_is_unreachable_from_the_registry() -> None:
    cells = Cells(3)
    cells.from_registry(1, ROLLING_OUT)
    for cell in (2, 3):
        cells.advertise(cell)
        cells.sync(1, cell)

    announced = UvnAnnouncement(generation=2, rollout="staging", unreachable_from_registry=(2,))
    found = writes(cells.from_registry(1, announced))

    assert found == [("UVN", "relay", 0), *relayed(2), ("STATUS", "for-registry", 2)]
    cells.now = MAX_HOLD
    assert writes(cells.flood_due(1, awaiting_confirm=True)) == relayed(3)


def test_what_was_relayed_to_the_registry_is_withdrawn_once_it_reaches_the_cell() -> None:
    cells = Cells(3)
    cells.from_registry(1, UvnAnnouncement(generation=2, unreachable_from_registry=(2,)))
    cells.advertise(2)
    cells.originate(2, Ack(generation=2, phase=Phase.STAGED, running=1), Kind.ACK)
    cells.sync(1, 2)

    commands = cells.from_registry(1, AT_REST)

    withdrawn = [each for each in commands if isinstance(each, Withdraw)]
    assert withdrawn == [
        Withdraw(Channel(Topic.STATUS, "for-registry"), 2),
        Withdraw(Channel(Topic.ACK, "for-registry"), 2),
        Withdraw(Channel(Topic.ACK, "relay"), 2),
    ]


def test_of_two_unreachable_cells_only_the_one_that_returns_is_withdrawn() -> None:
    cells = Cells(3)
    cells.from_registry(1, UvnAnnouncement(generation=2, unreachable_from_registry=(2, 3)))
    for cell in (2, 3):
        cells.advertise(cell)
        cells.sync(1, cell)

    commands = cells.from_registry(1, UvnAnnouncement(generation=2, unreachable_from_registry=(3,)))

    withdrawn = [each for each in commands if isinstance(each, Withdraw)]
    assert withdrawn == [Withdraw(Channel(Topic.STATUS, "for-registry"), 2)]


def test_a_cell_that_is_unreachable_itself_does_not_relay_its_own_status() -> None:
    cells = Cells(2)
    cells.advertise(1)

    commands = cells.from_registry(1, UvnAnnouncement(generation=2, unreachable_from_registry=(1,)))

    assert writes(commands) == [("UVN", "relay", 0)]


def test_only_the_registry_itself_counts_as_contact_with_it() -> None:
    cells = Cells(2)
    cells.from_registry(2, AT_REST)
    cells.now = 5.0
    cells.sync(1, 2)
    assert cells.floods[1].database.registry_announcement() == AT_REST
    assert cells.floods[1].registry_contact == 0

    cells.from_registry(1, AT_REST)

    assert cells.floods[1].registry_contact == 2


def test_registry_messages_are_flooded_at_once_and_acks_of_cells_it_reaches_never() -> None:
    cells = Cells(3)
    cells.originate(2, Ack(generation=1, phase=Phase.STAGED, running=1), Kind.ACK)

    found = (
        *cells.from_registry(1, ROLLING_OUT),
        *cells.from_registry(1, Activation(generation=2)),
        *cells.sync(1, 2),
    )

    assert writes(found) == [("UVN", "relay", 0), ("ACTIVATION", "relay", 0)]
    assert not cells.floods[1].queue
    assert cells.floods[1].unhandled.activation


def test_an_offer_for_a_neighbour_is_relayed_until_it_is_acknowledged() -> None:
    cells = Cells(3)
    offer = advertisement(2, Kind.OFFER, b"sealed", sequence=5, signed_by=REGISTRY)

    assert writes(cells.receive(1, offers_to_relay(2), offer)) == [("OFFER", "cell-2", 2)]

    ack = Ack(generation=2, phase=Phase.STAGED, running=1, offer=5)
    cells.originate(2, ack, Kind.ACK)
    assert Withdraw(offers_for(2), 2) in cells.sync(1, 2)


def test_an_offer_that_its_cell_receives_itself_is_not_relayed() -> None:
    cells = Cells(3)
    offer = advertisement(2, Kind.OFFER, b"sealed", sequence=5, signed_by=REGISTRY)

    assert cells.receive(1, offers_for(2), offer) == (StateChanged(),)


def test_an_offer_for_the_cell_itself_is_unhandled_and_not_relayed() -> None:
    cells = Cells(2)
    offer = advertisement(1, Kind.OFFER, b"sealed", sequence=5, signed_by=REGISTRY)

    assert cells.receive(1, offers_for(1), offer) == (StateChanged(),)
    assert cells.floods[1].unhandled.offer


def test_a_cell_that_lost_its_state_originates_above_its_earlier_advertisements() -> None:
    cells = Cells(2)
    for generation in range(5):
        cells.advertise(1, generation)
    cells.sync(2, 1)
    cells.flood_due(2)
    cells.start(1)
    cells.advertise(1, 7)

    (first, *_) = (each for each in cells.sync(1, 2) if isinstance(each, Write))

    assert first.envelope.sequence == 5 + MOST_UNSEEN + 1
    cells.sync(2, 1)
    assert cells.statuses(2)[1].generation == 7


def test_registry_messages_are_restored_and_flooded() -> None:
    cells = Cells(1)
    cells.from_registry(1, ROLLING_OUT)
    cells.from_registry(1, Activation(generation=2))
    messages = cells.floods[1].last_registry_messages()
    cells.start(1)

    commands = cells.floods[1].restore(messages, now=0.0)

    assert writes(commands) == [("UVN", "relay", 0), ("ACTIVATION", "relay", 0)]
    assert cells.floods[1].last_registry_messages() == messages


def test_a_forged_message_is_dropped_with_one_warning_per_node_and_reason() -> None:
    cells = Cells(2)
    forged = advertisement(
        2, Kind.STATUS, encode(CellStatus(generation=9)), sequence=9, signed_by=1
    )

    (warning,) = cells.receive(1, Channel(Topic.STATUS), forged)

    reason = "a message is not signed with the key of its originator"
    assert warning == Warn(Complaint(2, reason))
    assert cells.receive(1, Channel(Topic.STATUS), forged) == ()
    assert cells.statuses(1) == {}

    cells.now = INTERVAL
    assert cells.receive(1, Channel(Topic.STATUS), forged) == (Warn(Complaint(2, reason, 1)),)


def test_forgeries_in_any_number_of_names_are_one_complaint_and_hide_no_other() -> None:
    cells = Cells(2)
    forged = advertisement(2, Kind.STATUS, b"{}", sequence=9, signed_by=1)
    found = [
        command
        for number in range(3, 2000)
        for command in (
            *cells.receive(1, Channel(Topic.STATUS), replace(forged, relayed_by=number)),
            *cells.receive(1, Channel(Topic.STATUS), replace(forged, subject=number)),
        )
    ]
    reasons = [
        (each.complaint.node, each.complaint.reason) for each in found if isinstance(each, Warn)
    ]

    assert reasons == [
        (UNKNOWN_NODE, "a message is not signed with the key of its originator"),
        (2, "a message is about a cell that is no member"),
    ]
    assert cells.receive(1, Channel(Topic.STATUS), forged) != ()


def test_a_message_on_another_topic_is_dropped() -> None:
    cells = Cells(2)
    cells.advertise(2)
    (envelope,) = cells.executed[2].newest.values()

    assert isinstance(cells.receive(1, Channel(Topic.ACK), envelope)[0], Warn)


def test_a_cell_that_joins_late_gets_the_newest_from_any_neighbour() -> None:
    cells = Cells(3)
    for generation in (1, 2):
        cells.advertise(3, generation)
        cells.sync(2, 3)
        cells.now += MAX_PACING
        cells.flood_due(2)

    cells.sync(1, 2)

    assert cells.statuses(1)[3].generation == 2


def test_statuses_of_a_cell_that_left_are_not_flooded() -> None:
    cells, smaller = Cells(3), Cells(2)
    cells.advertise(3)
    cells.sync(1, 3)

    cells.floods[1].follow(smaller.package(1), now=0.0)

    assert cells.flood_due(1) == ()


def test_what_was_flooded_of_a_cell_that_left_is_withdrawn() -> None:
    cells = Cells(3)
    cells.from_registry(1, AT_REST)
    cells.advertise(3)
    cells.sync(1, 3)
    cells.flood_due(1)

    withdrawn = [each for each in cells.set_members(1, 2) if isinstance(each, Withdraw)]

    assert withdrawn == [Withdraw(Channel(Topic.STATUS, "relay"), 3)]


def test_a_registry_that_returns_within_the_grace_period_stays_reachable() -> None:
    cells = Cells(2)
    registry = cells.floods[1].registry
    assert not registry.is_reachable(now=0.0)
    cells.from_registry(1, AT_REST)
    assert cells.set_registry_present(1, present=True) == (StateChanged(),)
    assert cells.set_registry_present(1, present=False) == (StateChanged(),)
    assert not registry.is_present(now=0.0)
    assert registry.is_reachable(now=0.0)
    assert registry.changes_at() == GRACE

    cells.now = 2.9
    cells.set_registry_present(1, present=True)
    cells.from_registry(1, AT_REST)
    assert registry.is_reachable(now=5.0)
    assert registry.changes_at() == 2.9 + MAX_AGE

    cells.now = 5.0
    cells.set_registry_present(1, present=False)
    assert not registry.is_reachable(now=5.0 + GRACE)


@pytest.mark.feature("G53")
def test_a_writer_of_the_registrys_channel_is_not_the_registry() -> None:
    """Anybody can write there: junk, what another cell has signed, and recorded messages."""
    cells = Cells(3)
    channel, registry = Channel(Topic.UVN, OWN), cells.floods[1].registry
    cells.from_registry(2, AT_REST)
    cells.from_registry(2, ROLLING_OUT)
    cells.sync(1, 2)
    recorded = advertisement(REGISTRY, Kind.UVN, encode(AT_REST), sequence=1)
    (newest,) = (
        each for (at, _), each in cells.executed[2].newest.items() if at.topic is Topic.UVN
    )
    for forged in (
        replace(newest, body=b"junk", signature=bytes(64)),
        advertisement(REGISTRY, Kind.UVN, encode(AT_REST), sequence=9, signed_by=3),
        replace(newest, sequence=9),
        recorded,
    ):
        cells.set_registry_present(1, present=True)
        cells.receive(1, channel, forged)
        assert not registry.is_present(now=cells.now), forged

    # With what the registry itself has signed last it is present, and no longer than that is valid.
    assert cells.receive(1, channel, newest) == (StateChanged(),)
    assert registry.is_present(now=cells.now)
    cells.now = MAX_AGE
    assert cells.receive(1, channel, newest) == ()
    assert not registry.is_present(now=cells.now)


def test_a_message_that_another_cell_relayed_first_is_contact_once_it_comes_directly() -> None:
    cells = Cells(2)
    channel, flood = Channel(Topic.UVN), cells.floods[1]
    cells.from_registry(2, AT_REST)
    (first,) = newest_announcements(cells, 2)
    cells.from_registry(2, ROLLING_OUT)
    (second,) = newest_announcements(cells, 2)
    cells.sync(1, 2)
    assert flood.registry_contact == 0

    # It is not verified, and may be altered.
    cells.receive(1, channel, first)
    cells.receive(1, channel, replace(second, body=b"junk"))
    assert flood.registry_contact == 0

    cells.receive(1, channel, second)
    assert flood.registry_contact == second.sequence


def newest_announcements(cells: Cells, cell: int) -> list[Envelope]:
    return [each for (at, _), each in cells.executed[cell].newest.items() if at.topic is Topic.UVN]


def test_what_was_relayed_of_a_cell_that_is_gone_is_withdrawn() -> None:
    cells = Cells(3)
    cells.advertise(2)
    cells.advertise(3)
    cells.sync(1, 2)
    cells.sync(1, 3)
    cells.flood_due(1)
    cells.now = MAX_AGE
    cells.advertise(3)
    cells.sync(1, 3)
    cells.now = MAX_AGE + 1

    withdrawn = [each for each in cells.advertise(1) if isinstance(each, Withdraw)]

    assert withdrawn == [Withdraw(Channel(Topic.STATUS, "relay"), 2)]


def test_a_cell_does_not_follow_its_thief_to_the_end_of_the_numbers() -> None:
    """It goes on with its own, and is accepted once the others have forgotten the thief's."""
    cells = Cells(2)
    stolen = advertisement(1, Kind.STATUS, encode(CellStatus(generation=9)), sequence=LIMIT - 1)
    cells.receive(2, Channel(Topic.STATUS), stolen)
    cells.advertise(1, 5)
    cells.receive(1, Channel(Topic.STATUS, "relay"), stolen)
    cells.sync(2, 1)
    assert cells.statuses(2)[1].generation == 9

    cells.now = FORGET_AGE + 1
    cells.advertise(1, 5)
    cells.sync(2, 1)

    assert cells.statuses(2)[1].generation == 5


def test_the_presence_of_other_writers_changes_nothing() -> None:
    cells = Cells(2)
    event = Presence(Channel(Topic.STATUS, OWN), 1)

    assert cells.floods[1].receive(event, now=0.0) == ()


def test_the_status_of_a_new_cell_is_accepted_once_a_package_names_it() -> None:
    cells = Cells(3)
    cells.set_members(1, 2)
    cells.advertise(3)
    cells.sync(1, 3)
    assert 3 not in cells.statuses(1)

    cells.now = 5.0
    cells.set_members(1, 3)

    assert cells.statuses(1)[3].generation == 1
    assert writes(cells.flood_due(1)) == relayed(3)


def test_the_status_of_an_unknown_cell_is_not_kept_for_long() -> None:
    cells = Cells(3)
    cells.set_members(1, 2)
    cells.advertise(3)
    cells.sync(1, 3)

    cells.now = MAX_KEPT_FOR + 0.1
    cells.set_members(1, 3)

    assert 3 not in cells.statuses(1)


def test_a_forged_status_of_an_unknown_cell_is_dropped_once_it_is_a_member() -> None:
    cells = Cells(3)
    cells.set_members(1, 2)
    cells.advertise(3)
    ((channel, subject), envelope), *_ = cells.executed[3].newest.items()
    cells.receive(1, channel, replace(envelope, body=b"{}"))

    cells.set_members(1, 3)

    assert (subject, cells.statuses(1)) == (3, {})


@pytest.mark.feature("G54")
def test_what_the_registry_revokes_is_flooded_at_once_and_to_be_handled() -> None:
    cells = Cells(2)
    trust = TrustUpdate(cells=(Revocation(id=2),))

    found = cells.from_registry(1, trust)

    assert writes(found) == [("TRUST", "relay", REGISTRY)]
    assert found[-1] == StateChanged()
    assert cells.floods[1].unhandled.trust
    assert cells.floods[1].database.trust() == trust


def test_the_registry_s_public_facts_are_flooded_at_once_and_only_if_it_has_signed_them() -> None:
    cells = Cells(2)
    facts = Directory(generation=2, uvn="corp", owner="o@example.org")

    (warning,) = cells.from_registry(1, facts, signed_by=2)
    assert isinstance(warning, Warn)
    assert cells.floods[1].database.directory() is None
    found = cells.from_registry(1, facts)

    assert writes(found) == [("DIRECTORY", "relay", REGISTRY)]
    cells.sync(2, 1)
    assert cells.floods[2].database.directory() == facts


@pytest.mark.feature("G54")
def test_a_statement_on_trust_that_the_registry_has_not_signed_is_dropped() -> None:
    cells = Cells(2)
    trust = TrustUpdate(cells=(Revocation(id=1),))

    (warning,) = cells.from_registry(1, trust, signed_by=2)

    assert isinstance(warning, Warn)
    assert cells.floods[1].database.trust() == TrustUpdate()


@pytest.mark.feature("G54")
def test_what_a_cell_without_an_accepted_key_states_is_dropped() -> None:
    cells = Cells(3)
    cells.advertise(3)
    cells.sync(1, 3)
    package = obeying(cells.package(1), TrustUpdate(cells=(Revocation(id=3),)))

    cells.run(1, cells.floods[1].follow(package, now=cells.now))
    cells.advertise(3)
    cells.sync(1, 3)

    assert cells.statuses(1) == {}
    reasons = [each.complaint.reason for each in cells.executed[1].warnings]
    assert reasons == ["a message is of a cell that has no accepted key"]


# Keys of the registry that follow its first, by the ids of originators that tests give keys to.
NEXT, LAST = 7, 8


@pytest.mark.feature("G54")
def test_a_cell_follows_the_chain_of_the_registry_s_keys_and_joins_again() -> None:
    cells = Cells(2)
    cells.from_registry(1, AT_REST)
    chain = (registry_key(REGISTRY, NEXT), registry_key(NEXT, LAST))

    assert not any(isinstance(each, Warn) for each in cells.from_registry(1, ROLLING_OUT))
    found = cells.from_registry(1, TrustUpdate(registry_keys=chain), signed_by=LAST)

    assert Rejoin() in found
    assert cells.floods[1].database.registry_announcement() is None
    (refused,) = cells.from_registry(1, AT_REST)
    assert isinstance(refused, Warn)
    assert StateChanged() in cells.from_registry(1, AT_REST, signed_by=LAST)
    # Its package still names the first key.
    cells.run(1, cells.floods[1].follow(cells.package(1), now=cells.now))
    assert cells.floods[1].database.registry_announcement() == AT_REST


@pytest.mark.feature("G54")
def test_no_chain_leads_back_to_a_key_that_was_replaced() -> None:
    cells = Cells(1)
    forward = registry_key(REGISTRY, NEXT)
    cells.from_registry(1, TrustUpdate(registry_keys=(forward,)), signed_by=NEXT)

    for chain in ((), (forward,), (registry_key(REGISTRY, LAST),)):
        for author in (REGISTRY, LAST):
            found = cells.from_registry(1, TrustUpdate(registry_keys=chain), signed_by=author)
            assert not any(isinstance(each, StateChanged) for each in found)
