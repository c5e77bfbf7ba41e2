"""What each event means to a cell that changes packages, and which commands follow from it."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.agent.commit.commit_machine import (
    Acknowledge,
    Activate,
    Activated,
    ActivationFailed,
    Applied,
    Apply,
    ApplyFailed,
    CellState,
    Cleanup,
    CleanupAdvanced,
    CommitState,
    CommitVerdict,
    Confirm,
    Confirmed,
    ConfirmLimits,
    Discard,
    Discarded,
    InstalledPackage,
    InstallVerdict,
    LansAttached,
    LinksReleased,
    MessagesReceived,
    Observe,
    OfferRefused,
    OfferStaged,
    PackageInstalled,
    PendingCommit,
    PendingPut,
    Persist,
    PersistentState,
    PutPending,
    ReachabilityObserved,
    ReceivedActivation,
    ReconcileFailed,
    RecordPending,
    ReleaseLinks,
    RestoreMessages,
    RevertHost,
    RollBack,
    RolledBack,
    Stage,
    Started,
    UndoneChange,
    evaluate,
    step,
)
from uno.agent.commit.drain_plan import DrainSchedule
from uno.agent.commit.reachability import Reachability
from uno.model.messages import REGISTRY, Ack, Activation, Envelope, Kind, Phase

CELL = 7
LAN, OTHER_LAN = IPv4Network("192.168.1.0/24"), IPv4Network("192.168.2.0/24")
REACHED = Reachability(registry=True, neighbours=frozenset({1, 2}))
PENDING = PendingCommit(generation=2, previous=1, before=REACHED, confirm_timeout=30)
STAGED = CellState(running=1, staged=2, persistent=PersistentState(offer=3))
ON_PENDING = CellState(running=2, previous=1, pending=PENDING)
LIMITS = ConfirmLimits(lease=7, confirm_timeout=20)
INSTALLED = InstalledPackage(generation=4, install="one")


def cell(ledger: CellState, **fields: object) -> CommitState:
    return replace(CommitState(cell=CELL, ledger=ledger, limits=LIMITS), **fields)  # type: ignore[arg-type]


def activation(
    sequence: int, *, cells: dict[int, int] | None = None, hold: tuple[str, ...] = ()
) -> ReceivedActivation:
    made = Activation(
        generation=2, cells={CELL: 2} if cells is None else cells, hold=hold, confirm_timeout=12
    )
    return ReceivedActivation(activation=made, sequence=sequence, received_at=50.0)


def undo(sequence: int, cells: dict[int, int] | None = None) -> ReceivedActivation:
    made = Activation(generation=2, cells={CELL: 2} if cells is None else cells, undo=True)
    return ReceivedActivation(activation=made, sequence=sequence)


def receive(
    state: CommitState, received: ReceivedActivation | None = None, *, offer: int = 0
) -> tuple[object, ...]:
    return step(state, MessagesReceived(offer=offer, activation=received))[1]


def seen(**fields: object) -> ReachabilityObserved:
    return replace(
        ReachabilityObserved(
            now=100.0,
            reachability=REACHED,
            planned=frozenset({1, 2}),
            detection=1.0,
            registry_elsewhere=True,
            registry_sequence=40,
            registry_contact=40,
        ),
        **fields,  # type: ignore[arg-type]
    )


# Offers.


def test_a_new_offer_is_staged_once() -> None:
    state, commands = step(cell(CellState(running=1)), MessagesReceived(offer=3))

    assert commands == (Stage(sequence=3),)
    assert receive(state, offer=3) == ()
    assert receive(state, offer=4) == (Stage(sequence=4),)


@pytest.mark.parametrize(
    "persistent", [PersistentState(handled=10, offer=3), PersistentState(handled=3, offer=10)]
)
def test_an_offer_that_was_handled_or_staged_is_not_staged_again(
    persistent: PersistentState,
) -> None:
    state = cell(CellState(running=1, persistent=persistent))

    assert receive(state, offer=5) == ()
    assert receive(state, offer=10) == ()
    assert receive(state, offer=11) == (Stage(sequence=11),)


@pytest.mark.parametrize(
    "state",
    [cell(ON_PENDING), cell(CellState(running=1), cleanup=Cleanup.LINKS)],
    ids=["pending", "links"],
)
def test_an_offer_waits_until_the_last_change_is_over(state: CommitState) -> None:
    later, commands = step(state, MessagesReceived(offer=3))

    assert commands == ()
    over = replace(later, ledger=CellState(running=1), cleanup=Cleanup.FILTERS)
    assert receive(over) == (Stage(sequence=3),)


def test_a_staged_package_is_acknowledged_after_it_is_on_disk() -> None:
    staged = OfferStaged(sequence=3, generation=2, is_running=False, ledger=STAGED)

    state, commands = step(cell(CellState(running=1)), staged)

    ack = Ack(generation=2, phase=Phase.STAGED, running=1, offer=3)
    assert commands == (Persist(state=PersistentState(offer=3, ack=ack)), Acknowledge(ack=ack))
    assert state.ledger.staged == 2


@pytest.mark.parametrize(
    ("ledger", "phase"),
    [(CellState(running=2), Phase.CONFIRMED), (ON_PENDING, Phase.APPLIED)],
)
def test_an_offer_of_the_running_package_is_acknowledged_as_what_it_is(
    ledger: CellState, phase: Phase
) -> None:
    event = OfferStaged(sequence=3, generation=2, is_running=True, ledger=ledger)

    _, commands = step(cell(ledger), event)

    assert commands[-1] == Acknowledge(
        ack=Ack(generation=2, phase=phase, running=2, offer=3),
    )


@pytest.mark.parametrize(
    ("read", "announced", "generation"), [(5, 4, 5), (None, 4, 4), (None, None, 1)]
)
def test_a_refusal_names_the_generation_as_well_as_it_is_known(
    read: int | None, announced: int | None, generation: int
) -> None:
    state = cell(CellState(running=1, persistent=PersistentState(offer=2)), announced=announced)

    after, commands = step(state, OfferRefused(sequence=3, reason="no LAN", generation=read))

    ack = Ack(generation=generation, phase=Phase.REFUSED, running=1, reason="no LAN", offer=3)
    assert commands[-1] == Acknowledge(ack=ack)
    assert after.persistent.offer == 2, "the package that is staged came with another offer"


# Activation.


def test_a_staged_package_is_activated_with_what_is_reached_now() -> None:
    state, commands = step(cell(STAGED), MessagesReceived(activation=activation(5)))
    assert commands == (Observe(),)

    _, commands = step(state, seen())

    (command,) = commands
    assert isinstance(command, Activate)
    assert command.sequence == 5
    assert command.schedule.started_at == 50.0
    assert command.pending == PendingCommit(
        generation=2, previous=1, before=REACHED, confirm_timeout=12
    )


def test_an_activation_that_was_handled_has_no_effect_on_a_cell_that_rolled_back() -> None:
    """It is offered the package again, and stages it: only a new activation may apply it."""
    persistent = PersistentState(handled=5, offer=6)
    state = cell(CellState(running=1, staged=2, persistent=persistent))

    assert receive(state, activation(4)) == ()
    assert receive(state, activation(5)) == ()
    assert receive(state, activation(6)) == (Observe(),)


def test_an_activation_waits_for_its_package() -> None:
    state, commands = step(cell(CellState(running=1)), MessagesReceived(activation=activation(5)))
    assert commands == ()

    state, _ = step(state, OfferStaged(sequence=6, generation=2, is_running=False, ledger=STAGED))

    assert receive(state) == (Observe(),)


def test_an_activation_of_other_cells_or_generations_has_no_effect() -> None:
    assert receive(cell(STAGED), activation(5, cells={1: 2})) == ()
    assert receive(cell(STAGED), activation(5, cells={CELL: 3})) == ()
    assert receive(cell(STAGED), activation(5, cells={CELL: 1})) == ()


@pytest.mark.parametrize(
    "state",
    [
        cell(replace(ON_PENDING, staged=3)),
        cell(replace(STAGED, staged=3), cleanup=Cleanup.LINKS),
    ],
    ids=["pending", "links"],
)
def test_an_activation_waits_until_the_last_change_is_over(state: CommitState) -> None:
    later, commands = step(state, MessagesReceived(activation=activation(5, cells={CELL: 3})))

    assert commands == ()
    over = replace(later, ledger=replace(later.ledger, pending=None), cleanup=Cleanup.FILTERS)
    assert receive(over) == (Observe(),)


def test_an_activated_package_is_acknowledged_and_then_applied() -> None:
    command = Activate(pending=PENDING, sequence=5, schedule=DrainSchedule(period=9))

    state, commands = step(cell(STAGED), Activated(command=command))

    ack = Ack(generation=2, phase=Phase.APPLYING, running=1, offer=3)
    assert commands == (
        Persist(state=PersistentState(handled=5, offer=3, ack=ack)),
        Acknowledge(ack=ack),
        Apply(generation=2, schedule=DrainSchedule(period=9)),
    )
    assert state.persistent.handled == 5


def test_an_activation_that_fails_is_acknowledged_and_not_tried_again() -> None:
    command = Activate(pending=PENDING, sequence=5, schedule=DrainSchedule())

    state, commands = step(cell(STAGED), ActivationFailed(command=command, reason="disk full"))

    ack = Ack(generation=2, phase=Phase.FAILED, running=1, reason="disk full", offer=3)
    assert commands == (
        Persist(state=PersistentState(handled=5, offer=3, ack=ack)),
        Acknowledge(ack=ack),
    )
    assert receive(state, activation(5)) == ()


def test_an_applied_package_is_acknowledged_and_awaits_confirm() -> None:
    event = Applied(now=70.0, cleanup=Cleanup.LINKS, ledger=ON_PENDING, registry_bytes=9)

    state, commands = step(cell(STAGED), event)

    assert commands[-1] == Acknowledge(
        ack=Ack(generation=2, phase=Phase.APPLIED, running=2, offer=3)
    )
    assert (state.pending, state.applied_at, state.registry_bytes) == (PENDING, 70.0, 9)
    assert state.cleanup is Cleanup.LINKS


def test_a_package_that_cannot_be_applied_is_left_and_acknowledged() -> None:
    state, commands = step(cell(STAGED), ApplyFailed(generation=2, reason="no route"))
    assert commands == (RollBack(generation=2, phase=Phase.FAILED, reason="no route"),)

    (command,) = commands
    assert isinstance(command, RollBack)
    after = RolledBack(command=command, ledger=CellState(running=1), at=99)
    state, commands = step(replace(state, cleanup=Cleanup.FILTERS), after)

    ack = Ack(generation=2, phase=Phase.FAILED, running=1, reason="no route", offer=3)
    undone = UndoneChange(generation=2, running=1, reason="no route", at=99)
    assert commands == (
        Persist(state=PersistentState(offer=3, ack=ack, undone=undone)),
        Acknowledge(ack=ack),
    )
    assert state.cleanup is Cleanup.FILTERS, "the host has not changed"


# Deferred links.


def test_deferred_links_are_released_when_they_are_held_no_more() -> None:
    ledger = CellState(running=2, deferred=frozenset({"1-7", "2-7"}))

    state, commands = step(cell(ledger), MessagesReceived(activation=activation(5, hold=("1-7",))))

    persist, release = commands
    assert persist == Persist(state=PersistentState(handled=5))
    assert isinstance(release, ReleaseLinks)
    assert (release.generation, release.schedule.hold) == (2, ("1-7",))
    assert release.schedule.started_at == 50.0
    left = replace(ledger, deferred=frozenset({"1-7"}))
    state, commands = step(state, LinksReleased(cleanup=Cleanup.FILTERS, ledger=left))
    assert commands == ()
    assert state.ledger.deferred == {"1-7"}
    assert state.cleanup is Cleanup.FILTERS


def test_deferred_links_that_are_still_held_or_under_way_stay() -> None:
    ledger = CellState(running=2, deferred=frozenset({"1-7"}))
    held = activation(5, hold=("1-7", "2-7"))

    assert receive(cell(ledger), held) == ()
    assert receive(cell(ledger, cleanup=Cleanup.LINKS), activation(5)) == ()
    assert receive(cell(CellState(running=2)), activation(5)) == ()


# Undo.


def test_an_undo_rolls_back_a_package_whether_or_not_it_is_confirmed() -> None:
    confirmed = replace(ON_PENDING, pending=None)
    command = RollBack(
        generation=2, phase=Phase.REVERTED, reason="it was undone for all", handled=5
    )

    for ledger in (ON_PENDING, confirmed):
        assert receive(cell(ledger), undo(5)) == (command,)
        assert receive(cell(ledger), undo(5, cells={})) == (command,)
        assert receive(cell(ledger, cleanup=Cleanup.LINKS), undo(5)) == (command,)
        assert receive(cell(ledger), undo(5, cells={CELL: 3})) == ()


def test_an_undo_without_a_previous_package_has_no_effect() -> None:
    assert receive(cell(CellState(running=2)), undo(5)) == ()


def test_an_undo_discards_a_staged_package_that_was_offered_before_it() -> None:
    state, commands = step(cell(STAGED), MessagesReceived(activation=undo(5)))
    assert commands == (Discard(sequence=5),)

    state, commands = step(state, Discarded(sequence=5, ledger=CellState(running=1)))

    assert commands == (Persist(state=PersistentState(handled=5, offer=3)),)
    assert state.ledger.staged is None


@pytest.mark.parametrize("sequence", [2, 3])
def test_a_package_that_was_offered_after_the_undo_is_another_attempt(sequence: int) -> None:
    assert receive(cell(STAGED), undo(sequence)) == ()


def test_an_undo_that_was_handled_has_no_effect() -> None:
    ledger = replace(ON_PENDING, persistent=PersistentState(handled=5))

    assert receive(cell(ledger), undo(5)) == ()
    assert len(receive(cell(ledger), undo(6))) == 1


def test_a_rolled_back_host_is_changed_before_the_roll_back_is_acknowledged() -> None:
    command = RollBack(generation=2, phase=Phase.REVERTED, reason="it lost a", handled=40)
    before = cell(ON_PENDING, cleanup=Cleanup.LINKS)

    after = RolledBack(command=command, ledger=CellState(running=1), at=99)
    state, commands = step(before, after)

    ack = Ack(generation=2, phase=Phase.REVERTED, running=1, reason="it lost a")
    undone = UndoneChange(generation=2, running=1, reason="it lost a", at=99)
    assert commands == (
        Persist(state=PersistentState(handled=40, undone=undone)),
        RevertHost(),
        Persist(state=PersistentState(handled=40, undone=undone, ack=ack)),
        Acknowledge(ack=ack),
    )
    assert (state.ledger.running, state.pending, state.cleanup) == (1, None, Cleanup.DONE)


def test_handled_never_decreases() -> None:
    ledger = replace(ON_PENDING, persistent=PersistentState(handled=50))
    command = RollBack(generation=2, phase=Phase.REVERTED, reason="", handled=40)

    state, _ = step(cell(ledger), RolledBack(command=command, ledger=CellState(running=1)))

    assert state.persistent.handled == 50


# Confirm.


def verdict(observed: ReachabilityObserved, **fields: object) -> CommitVerdict:
    pending = replace_pending(fields.pop("before", REACHED))
    ledger = replace(ON_PENDING, pending=pending)
    return evaluate(cell(ledger, **fields), pending, observed)[0]


def replace_pending(before: object) -> PendingCommit:
    assert isinstance(before, Reachability)
    return replace(PENDING, before=before)


def test_a_cell_that_reached_nothing_before_confirms_at_once() -> None:
    nothing = Reachability()

    assert verdict(seen(now=0.0, reachability=nothing), before=nothing) is CommitVerdict.CONFIRM


def test_a_pending_commit_is_rolled_back_when_its_timeout_expires() -> None:
    lost = Reachability(registry=True, neighbours=frozenset({1}))

    assert verdict(seen(now=129.9, reachability=lost), applied_at=100.0) is CommitVerdict.WAIT
    assert verdict(seen(now=130.0, reachability=lost), applied_at=100.0) is CommitVerdict.ROLL_BACK
    assert verdict(seen(now=130.0), applied_at=100.0) is CommitVerdict.CONFIRM


def test_links_count_when_a_broken_one_would_be_down_or_all_have_answered() -> None:
    neighbours = Reachability(neighbours=frozenset({1, 2}))
    early = seen(now=100.9, reachability=neighbours)
    answered = {1: 100.0, 2: 100.5}

    def is_confirmed(observed: ReachabilityObserved) -> bool:
        return verdict(observed, before=neighbours, applied_at=100.0) is CommitVerdict.CONFIRM

    assert not is_confirmed(early)
    assert not is_confirmed(replace(early, answered=answered | {2: 99.9}))
    assert is_confirmed(replace(early, answered=answered))
    assert is_confirmed(replace(early, now=101.0))


@pytest.mark.feature("G53")
def test_the_registry_counts_once_its_bytes_have_come_through_wireguard_after_the_change() -> None:
    """Any cell can repeat its messages, and be a writer on its channel."""

    def is_confirmed(observed: ReachabilityObserved) -> bool:
        found = verdict(observed, applied_at=100.0, registry_bytes=500)
        return found is CommitVerdict.CONFIRM

    later = seen(now=119.9)
    assert not is_confirmed(replace(later, registry_bytes=500))
    assert not is_confirmed(replace(later, registry_bytes=0))
    assert is_confirmed(replace(later, registry_bytes=501))


@pytest.mark.parametrize(("before", "now"), [(None, 501), (500, None)])
def test_its_messages_count_where_wireguard_cannot_be_queried(
    before: int | None, now: int | None
) -> None:
    def is_confirmed(contact: int) -> bool:
        observed = seen(now=119.9, registry_bytes=now, registry_contact=contact)
        found = verdict(observed, applied_at=100.0, registry_bytes=before, registry_sequence=39)
        return found is CommitVerdict.CONFIRM

    assert not is_confirmed(0)
    assert not is_confirmed(39)
    assert is_confirmed(40)


@pytest.mark.feature("G53")
def test_a_cell_rolls_back_where_the_contact_with_the_registry_is_not_proved() -> None:
    later = seen(now=129.9, registry_bytes=500)
    assert verdict(later, applied_at=100.0, registry_bytes=500) is CommitVerdict.WAIT

    found = verdict(replace(later, now=130.0), applied_at=100.0, registry_bytes=500)

    assert found is CommitVerdict.ROLL_BACK


def test_a_registry_on_the_same_host_sends_nothing_through_wireguard() -> None:
    beside = seen(now=106.9, registry_bytes=500, registry_contact=0, registry_is_local=True)

    assert verdict(beside, applied_at=100.0, registry_bytes=500) is CommitVerdict.WAIT
    later = replace(beside, now=107.0)
    assert verdict(later, applied_at=100.0, registry_bytes=500) is CommitVerdict.CONFIRM


def test_where_the_registry_itself_is_gone_its_lease_has_to_be_over() -> None:
    left = Reachability(neighbours=REACHED.neighbours)
    gone = seen(now=106.9, reachability=left, registry_elsewhere=False)

    assert verdict(gone, applied_at=100.0) is CommitVerdict.WAIT
    assert verdict(replace(gone, now=107.0), applied_at=100.0) is CommitVerdict.CONFIRM


def test_a_cell_without_the_registry_before_does_not_wait_for_its_lease() -> None:
    neighbours = Reachability(neighbours=frozenset({1}))

    assert verdict(seen(now=101.0), before=neighbours, applied_at=100.0) is CommitVerdict.CONFIRM


@pytest.mark.feature("G52")
def test_a_cell_that_forwarded_before_waits_for_a_proof_that_it_does() -> None:
    before = Reachability(neighbours=frozenset({1}), lans=frozenset({LAN}))

    def is_confirmed(observed: ReachabilityObserved) -> bool:
        fields = {"applied_at": 100.0, "regained_at": 101.0}
        return verdict(observed, before=before, **fields) is CommitVerdict.CONFIRM

    early = seen(now=102.0)
    assert not is_confirmed(early)
    assert not is_confirmed(replace(early, proved_at=99.9))
    assert is_confirmed(replace(early, proved_at=100.0))
    # Nothing can be proved any more: neighbours answer no probes.
    assert not is_confirmed(replace(early, now=110.9))
    assert is_confirmed(replace(early, now=111.0))


@pytest.mark.feature("G52")
def test_the_wait_for_a_proof_begins_when_what_was_lost_is_reached_again() -> None:
    before = Reachability(neighbours=frozenset({1}), lans=frozenset({LAN}))
    state = cell(replace(ON_PENDING, pending=replace_pending(before)), applied_at=100.0)
    up = Reachability(neighbours=frozenset({1}))

    def after(*times: tuple[float, Reachability]) -> tuple[object, ...]:
        now, commands = state, ()
        for when, reached in times:
            now, commands = step(now, seen(now=when, reachability=reached))
            if commands:
                assert (when, reached) == times[-1]
        return commands

    confirmed = (Confirm(generation=2),)
    assert after((102.0, up), (111.9, up)) == ()
    assert after((102.0, up), (112.0, up)) == confirmed
    # A link that comes back late has to carry a proof first.
    assert after((102.0, Reachability()), (117.0, up), (126.9, up)) == ()
    assert after((102.0, Reachability()), (117.0, up), (127.0, up)) == confirmed
    assert after((102.0, up), (111.0, Reachability()), (117.0, up), (126.9, up)) == ()


@pytest.mark.feature("G52")
def test_a_cell_that_forwards_no_more_rolls_back_and_names_the_lan() -> None:
    before = Reachability(neighbours=frozenset({1}), lans=frozenset({LAN}))
    pending = replace_pending(before)
    lost = seen(now=129.0, proved_at=128.0, unforwarded=frozenset({LAN}))
    state = cell(replace(ON_PENDING, pending=pending), applied_at=100.0)

    assert step(state, lost)[1] == ()
    assert step(state, replace(lost, unforwarded=frozenset({OTHER_LAN})))[1] == (
        Confirm(generation=2),
    )
    (command,) = step(state, replace(lost, now=130.0))[1]
    assert isinstance(command, RollBack)
    assert command.reason == "it lost forwarding for 192.168.1.0/24"


def test_a_commit_is_confirmed_and_acknowledged() -> None:
    state, commands = step(cell(ON_PENDING, applied_at=90.0), seen())
    assert commands == (Confirm(generation=2),)
    assert state.pending is not None, "until it is on disk"

    state, commands = step(state, Confirmed(ledger=replace(ON_PENDING, pending=None)))

    assert commands[-1] == Acknowledge(ack=Ack(generation=2, phase=Phase.CONFIRMED, running=2))
    assert state.pending is None


def test_a_cell_that_is_cut_off_rolls_back_and_names_what_it_lost() -> None:
    lost = Reachability(neighbours=frozenset({1}))
    observed = seen(reachability=lost, names={2: "lan-b"})

    _, commands = step(cell(ON_PENDING, applied_at=60.0), observed)

    assert commands == (
        RollBack(
            generation=2,
            phase=Phase.REVERTED,
            reason="it lost the registry, lan-b",
            handled=40,
        ),
    )


def test_while_it_waits_nothing_is_done() -> None:
    state = cell(replace(ON_PENDING, staged=3), applied_at=99.5, installed=INSTALLED, offer=9)

    assert step(state, seen()) == (replace(state, regained_at=seen().now), ())


# Packages that a person installs.


def test_an_installed_package_is_put_on_a_pending_commit_and_applied() -> None:
    state, commands = step(cell(CellState(running=1)), PackageInstalled(installed=INSTALLED))
    assert commands == (Observe(),)

    state, commands = step(state, seen())

    pending = PendingCommit(
        generation=4, previous=1, before=REACHED, confirm_timeout=20, install="one"
    )
    assert commands == (PutPending(pending=pending),)
    assert state.installed == INSTALLED, "until it is on disk"
    state, commands = step(state, PendingPut(pending=pending))
    assert commands == (Apply(generation=4, schedule=DrainSchedule()),)
    assert state.installed is None


def test_an_installed_package_comes_before_an_offer_and_an_activation() -> None:
    state = cell(STAGED, installed=INSTALLED)

    assert receive(state, activation(5), offer=9) == (Observe(),)
    assert isinstance(step(state, seen())[1][0], PutPending)


@pytest.mark.parametrize("cleanup", [Cleanup.FILTERS, Cleanup.LINKS])
def test_an_installed_package_waits_until_nothing_is_left_to_remove(cleanup: Cleanup) -> None:
    state, commands = step(
        cell(CellState(running=1), cleanup=cleanup), PackageInstalled(installed=INSTALLED)
    )
    assert commands == ()
    assert step(state, seen())[1] == ()

    state, commands = step(state, CleanupAdvanced(cleanup=Cleanup.DONE))

    assert commands == ()
    assert receive(state) == (Observe(),)


def test_an_installed_package_that_this_host_cannot_run_is_left_and_answered() -> None:
    refused = replace(INSTALLED, refusal="no licence")

    state, commands = step(cell(CellState(running=1)), PackageInstalled(installed=refused))

    (command,) = commands
    assert command == RollBack(generation=4, phase=Phase.FAILED, reason="no licence")
    state, _ = step(state, RolledBack(command=command, ledger=CellState(running=1), at=99))
    assert state.persistent.verdict == InstallVerdict(
        install="one", generation=4, phase=Phase.FAILED, reason="no licence"
    )
    assert state.persistent.undone is not None
    assert state.installed is None
    assert receive(state) == (), "it is not tried again"


@pytest.mark.parametrize("phase", [Phase.CONFIRMED, Phase.REVERTED])
def test_an_installed_package_gets_its_verdict(phase: Phase) -> None:
    ledger = replace(ON_PENDING, pending=replace(PENDING, install="one"))
    before = CellState(running=1)
    command = RollBack(generation=2, phase=Phase.REVERTED, reason="it lost a")
    event = (
        Confirmed(ledger=replace(ledger, pending=None))
        if phase is Phase.CONFIRMED
        else RolledBack(command=command, ledger=before)
    )

    state, commands = step(cell(ledger), event)

    reason = "" if phase is Phase.CONFIRMED else "it lost a"
    verdict = InstallVerdict(install="one", generation=2, phase=phase, reason=reason)
    assert state.persistent.verdict == verdict
    assert any(each.state.verdict == verdict for each in commands if isinstance(each, Persist))


def test_what_is_offered_by_the_registry_gets_no_verdict_of_an_installation() -> None:
    state, _ = step(cell(ON_PENDING), Confirmed(ledger=replace(ON_PENDING, pending=None)))

    assert state.persistent.verdict is None


def test_a_package_that_is_kept_is_confirmed_whatever_it_disconnects() -> None:
    state, commands = step(
        cell(CellState(running=1)), PackageInstalled(installed=replace(INSTALLED, keep=True))
    )
    _, commands = step(state, seen())
    (command,) = commands
    assert isinstance(command, PutPending)
    pending = command.pending

    found, missing = evaluate(
        cell(replace(ON_PENDING, pending=pending)), pending, seen(reachability=Reachability())
    )

    assert found is CommitVerdict.CONFIRM
    assert missing == REACHED


def test_a_package_on_trial_is_kept_once_a_person_installs_it_again_to_keep_it() -> None:
    again = InstalledPackage(generation=2, install="two", keep=True)

    state, commands = step(cell(ON_PENDING), PackageInstalled(installed=again))

    kept = replace(PENDING, keep=True, install="two")
    assert commands == (RecordPending(pending=kept),)
    assert evaluate(state, kept, seen(reachability=Reachability()))[0] is CommitVerdict.CONFIRM
    state, _ = step(state, Confirmed(ledger=replace(ON_PENDING, pending=None)))
    assert state.persistent.verdict == InstallVerdict(
        install="two", generation=2, phase=Phase.CONFIRMED
    )


def test_a_package_that_runs_already_is_answered_at_once() -> None:
    again = InstalledPackage(generation=1, install="two")

    state, commands = step(cell(CellState(running=1)), PackageInstalled(installed=again))

    verdict = InstallVerdict(install="two", generation=1, phase=Phase.CONFIRMED)
    assert commands == (Persist(state=PersistentState(verdict=verdict)),)
    assert state.installed is None


def test_a_restarted_cell_answers_an_installation_that_the_one_before_did_not() -> None:
    event = Started(now=80.0, installed=InstalledPackage(generation=2, install="one"))

    state, commands = step(cell(CellState(running=2, previous=1)), event)

    assert isinstance(commands[-1], Persist)
    assert state.persistent.verdict is not None
    _, commands = step(cell(ON_PENDING), event)
    assert commands[-1] == RecordPending(pending=replace(PENDING, install="one"))


def test_what_was_undone_is_kept_until_the_next_change_is_confirmed() -> None:
    undone = UndoneChange(generation=2, running=1, reason="it lost a", at=99)
    persistent = PersistentState(undone=undone)
    state = cell(CellState(running=3, previous=1, persistent=persistent))

    state, _ = step(state, OfferRefused(sequence=9, reason="disk full"))
    assert state.persistent.undone == undone

    state, _ = step(state, Confirmed(ledger=CellState(running=3)))
    assert state.persistent.undone is None


# What carries the registry's messages.

MOVED = replace(PENDING, needs_heartbeat=True)


def test_a_staged_package_that_moves_control_traffic_needs_a_heartbeat() -> None:
    state = cell(replace(STAGED, staged_moves_control=True))

    state, commands = step(state, MessagesReceived(activation=activation(5)))
    assert commands == (Observe(),)
    _, commands = step(state, seen())

    (command,) = commands
    assert isinstance(command, Activate)
    assert command.pending.needs_heartbeat


@pytest.mark.parametrize(("registry", "needed"), [(True, True), (False, False)])
def test_an_installed_package_needs_a_heartbeat_if_the_registry_was_reached(
    *, registry: bool, needed: bool
) -> None:
    state, _ = step(
        cell(CellState(running=1)),
        PackageInstalled(installed=replace(INSTALLED, moves_control=True)),
    )

    _, commands = step(state, seen(reachability=replace(REACHED, registry=registry)))

    (command,) = commands
    assert isinstance(command, PutPending)
    assert command.pending.needs_heartbeat is needed


def test_a_moved_control_path_counts_once_the_registry_was_in_contact_over_it() -> None:
    def judge(**fields: object) -> CommitVerdict:
        state = cell(
            replace(ON_PENDING, pending=MOVED),
            applied_at=100.0,
            registry_bytes=500,
            registry_sequence=39,
        )
        return evaluate(state, MOVED, seen(**{"now": 129.0, "registry_contact": 0, **fields}))[0]

    assert judge(registry_bytes=900) is CommitVerdict.WAIT, "bytes pass without the bus"
    assert judge(registry_contact=39, registry_bytes=900) is CommitVerdict.WAIT
    assert judge(registry_contact=40, registry_bytes=500) is CommitVerdict.WAIT
    assert judge(registry_contact=40, registry_bytes=900) is CommitVerdict.CONFIRM
    assert judge(now=130.0) is CommitVerdict.ROLL_BACK
    assert judge(now=130.0, registry_elsewhere=False) is CommitVerdict.ROLL_BACK, "all are cut off"


def test_a_cell_that_gets_its_messages_by_relay_needs_a_newer_one() -> None:
    pending = replace(MOVED, before=Reachability(neighbours=frozenset({1})))
    state = cell(replace(ON_PENDING, pending=pending), applied_at=90.0, registry_sequence=40)
    alone = replace(MOVED, before=Reachability())

    assert evaluate(state, pending, seen())[0] is CommitVerdict.WAIT
    assert evaluate(state, pending, seen(registry_sequence=41))[0] is CommitVerdict.CONFIRM
    assert evaluate(state, alone, seen())[0] is CommitVerdict.WAIT
    assert evaluate(state, alone, seen(now=120.0))[0] is CommitVerdict.ROLL_BACK


# How the registry was reached at the moment of the activation.
IN_CONTACT = seen(now=90.0)
INTERRUPTED = seen(now=90.0, reachability=replace(REACHED, registry=False), had_registry=True)
LOST_EARLIER = seen(now=90.0, reachability=replace(REACHED, registry=False))

# What is received after it. Bytes come through WireGuard also without a message.
DIRECTLY = seen(registry_contact=41, registry_sequence=41, registry_bytes=900)
BYTES_ALONE = seen(registry_sequence=40, registry_bytes=900)
MESSAGES_ALONE = seen(registry_contact=41, registry_sequence=41, registry_bytes=500)
BY_RELAY = seen(
    reachability=replace(REACHED, registry=False), registry_sequence=41, registry_bytes=500
)
NOTHING = seen(reachability=replace(REACHED, registry=False), registry_bytes=500)
# The registry itself is gone: no cell reaches it.
NOWHERE = replace(NOTHING, registry_elsewhere=False)
RELAYED_BY_ALL = replace(BY_RELAY, registry_elsewhere=False)


@pytest.mark.feature("G05")
@pytest.mark.parametrize(
    ("before", "moves", "after", "expected"),
    [
        # The way moves: what came directly before must come directly after, and be new.
        (IN_CONTACT, True, DIRECTLY, "confirm"),
        (IN_CONTACT, True, BYTES_ALONE, "roll back"),
        (IN_CONTACT, True, MESSAGES_ALONE, "roll back"),
        (IN_CONTACT, True, BY_RELAY, "roll back"),
        (IN_CONTACT, True, RELAYED_BY_ALL, "roll back"),
        (IN_CONTACT, True, NOTHING, "roll back"),
        (IN_CONTACT, True, NOWHERE, "roll back"),
        # An interruption at the moment of the activation is none.
        (INTERRUPTED, True, DIRECTLY, "confirm"),
        (INTERRUPTED, True, BY_RELAY, "roll back"),
        (INTERRUPTED, True, RELAYED_BY_ALL, "roll back"),
        (INTERRUPTED, True, NOTHING, "roll back"),
        (INTERRUPTED, True, NOWHERE, "roll back"),
        # A cell that had lost the registry earlier keeps the way that it had: its neighbours.
        (LOST_EARLIER, True, DIRECTLY, "confirm"),
        (LOST_EARLIER, True, BY_RELAY, "confirm"),
        (LOST_EARLIER, True, RELAYED_BY_ALL, "confirm"),
        (LOST_EARLIER, True, NOTHING, "roll back"),
        (LOST_EARLIER, True, NOWHERE, "roll back"),
        # The way stays: the registry may fail meanwhile, but not for this cell alone.
        (IN_CONTACT, False, DIRECTLY, "confirm"),
        (IN_CONTACT, False, BYTES_ALONE, "confirm"),
        (IN_CONTACT, False, MESSAGES_ALONE, "roll back"),
        (IN_CONTACT, False, BY_RELAY, "roll back"),
        (IN_CONTACT, False, NOTHING, "roll back"),
        (IN_CONTACT, False, NOWHERE, "confirm"),
        (INTERRUPTED, False, DIRECTLY, "confirm"),
        (INTERRUPTED, False, BY_RELAY, "confirm"),
        (INTERRUPTED, False, NOWHERE, "confirm"),
        (LOST_EARLIER, False, DIRECTLY, "confirm"),
        (LOST_EARLIER, False, BY_RELAY, "confirm"),
        (LOST_EARLIER, False, NOTHING, "confirm"),
        (LOST_EARLIER, False, NOWHERE, "confirm"),
    ],
)
def test_what_a_change_requires_of_the_registry(
    *, before: ReachabilityObserved, moves: bool, after: ReachabilityObserved, expected: str
) -> None:
    state = cell(replace(STAGED, staged_moves_control=moves), activation=activation(5))

    _, commands = step(state, before)
    (command,) = commands
    assert isinstance(command, Activate)
    state, _ = step(
        cell(replace(ON_PENDING, pending=command.pending)),
        Applied(
            now=100.0,
            cleanup=Cleanup.DONE,
            ledger=replace(ON_PENDING, pending=command.pending),
            registry_bytes=500,
            registry_sequence=40,
        ),
    )

    timeout = command.pending.confirm_timeout
    verdicts = [
        evaluate(state, command.pending, replace(after, now=100.0 + elapsed))[0]
        for elapsed in (timeout - 0.1, timeout)
    ]
    if expected == "confirm":
        assert verdicts[0] is CommitVerdict.CONFIRM
    else:
        assert verdicts == [CommitVerdict.WAIT, CommitVerdict.ROLL_BACK]


@pytest.mark.feature("G05")
def test_a_cell_waits_for_a_lease_until_it_may_have_discovered_the_registry() -> None:
    """Just after a start, or a change, that it is not in contact shows nothing."""
    moving = replace(STAGED, staged_moves_control=True)
    state = cell(moving, activation=activation(5), applied_at=90.0)
    alone = replace(LOST_EARLIER, now=96.9)

    assert step(state, alone) == (state, ())
    for observed in (replace(alone, now=97.0), replace(alone, had_registry=True)):
        (command,) = step(state, observed)[1]
        assert isinstance(command, Activate)
        assert command.pending.before.registry is observed.had_registry
    # Another change may be confirmed without the registry anyway.
    (command,) = step(replace(state, ledger=STAGED), alone)[1]
    assert isinstance(command, Activate)


def test_what_is_restored_at_a_start_is_no_message_of_the_registry_since_then() -> None:
    message = Envelope(
        subject=REGISTRY, kind=Kind.UVN, sequence=44, relayed_by=REGISTRY, body=b"", signature=b""
    )
    pending = replace(MOVED, before=Reachability(neighbours=frozenset({1})))
    persistent = PersistentState(last_registry_messages=(message,))
    ledger = replace(ON_PENDING, pending=pending, persistent=persistent)

    state, _ = step(cell(ledger), Started(now=80.0, registry_sequence=3))

    assert evaluate(state, pending, seen(registry_sequence=44))[0] is CommitVerdict.WAIT
    assert evaluate(state, pending, seen(registry_sequence=45))[0] is CommitVerdict.CONFIRM


def test_a_cell_that_cannot_join_the_bus_of_its_package_changes_its_host_back() -> None:
    event = ApplyFailed(generation=2, reason="no address", host_changed=True)

    _, commands = step(cell(STAGED), event)

    assert commands == (RollBack(generation=2, phase=Phase.REVERTED, reason="no address"),)


# Start.


def test_a_restarted_cell_repeats_its_last_answer_and_begins_the_timeout_again() -> None:
    message = Envelope(
        subject=REGISTRY, kind=Kind.UVN, sequence=3, relayed_by=REGISTRY, body=b"", signature=b""
    )
    ack = Ack(generation=2, phase=Phase.APPLIED, running=2)
    persistent = PersistentState(ack=ack, last_registry_messages=(message,))

    state, commands = step(
        cell(replace(ON_PENDING, persistent=persistent)), Started(now=80.0, registry_bytes=6)
    )

    assert commands == (RestoreMessages(messages=(message,)), Acknowledge(ack=ack))
    assert (state.applied_at, state.registry_bytes) == (80.0, 6)


def test_a_cell_that_never_answered_has_nothing_to_repeat() -> None:
    _, commands = step(cell(CellState(running=1)), Started(now=80.0))

    assert commands == (RestoreMessages(messages=()),)


def test_a_pending_package_that_the_host_cannot_have_at_a_start_is_rolled_back() -> None:
    event = ReconcileFailed(reason="no route", registry_sequence=8)

    _, commands = step(cell(ON_PENDING), event)

    assert commands == (RollBack(generation=2, phase=Phase.REVERTED, reason="no route", handled=8),)


def test_lans_that_are_attached_are_recorded_once() -> None:
    lans = (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24"))

    state, commands = step(cell(CellState(running=1)), LansAttached(lans=lans))

    assert commands == (Persist(state=PersistentState(lans=lans)),)
    assert step(state, LansAttached(lans=lans[::-1]))[1] == ()
    assert len(step(state, LansAttached(lans=lans[:1]))[1]) == 1
