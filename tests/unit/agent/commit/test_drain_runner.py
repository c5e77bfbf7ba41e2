"""Changing over in drain_steps: what comes after what, what is waited for, and for how long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from transitions import CROSSED, RING, Clock, package_of, planned, rekeyed, uvn
from uno.agent.commit.drain_plan import (
    NARROW_AFTER,
    DeferredLinks,
    DrainSchedule,
    DrainStep,
    deferred,
    drain_steps,
    schedule_of,
    with_deferred,
)
from uno.agent.commit.drain_runner import DrainCancelled, switch
from uno.agent.service import change_over
from uno.diagnostics import UnoError
from uno.host.fake.fake_host import FakeHost
from uno.model.messages import Activation
from uno.model.package import Package
from uno.model.plan import CellSet
from uno.model.routing_policy import Drain, routing_policy
from uno.model.uvn import Strategy
from uno.ports.host import Action, ConfigureTunnel, CreateTunnel, RemoveTunnel, SessionStatus
from uno.render.frr import daemons, integrated

QUICK = DrainSchedule(remove_after=0, timeout=0)


class Switching:
    """A host that runs a package, and is switched to others."""

    def __init__(self, old: Package) -> None:
        self.host, self.clock, self.old = FakeHost(), Clock(), old
        self.progress: list[tuple[float, str]] = []
        self.run(None, old, QUICK)
        self.began = self.clock.time

    def run(self, old: Package | None, new: Package, schedule: DrainSchedule) -> None:
        self.began = self.clock.time
        self.progress.clear()
        self.host.performed.clear()
        switch(
            self.host,
            old=old,
            new=new,
            schedule=schedule,
            progress=lambda text: self.progress.append(
                (round(self.clock.time - self.began, 1), text)
            ),
            pause=self.clock.pause,
            now=self.clock.now,
        )

    def to(self, new: Package, schedule: DrainSchedule = QUICK) -> None:
        self.run(self.old, new, schedule)

    @property
    def seconds(self) -> float:
        return round(self.clock.time - self.began, 1)

    def steps(self) -> list[tuple[float, str]]:
        """The progress messages of steps, without the actions in them."""
        verbs = ("add", "tag", "avoid", "change", "close", "remove uwg-", "use", "complete")
        verbs += ("connect", "roll back")
        return [each for each in self.progress if each[1].startswith(verbs)]


def test_a_change_that_touches_no_link_is_made_at_once() -> None:
    switching = Switching(package_of(CROSSED))
    lan = replace(uvn(), cells=(*uvn().cells[:-1], replace(uvn().cells[-1], name="other")))

    switching.to(package_of(planned(lan, CROSSED)), DrainSchedule())

    assert switching.steps() == [(0.0, "add new links")]
    assert switching.seconds == 0


@pytest.mark.feature("G07")
def test_a_link_that_goes_away_is_left_by_others_then_by_this_cell_and_then_it_goes() -> None:
    switching = Switching(package_of(CROSSED))
    before = {link.cell: link.interface for link in package_of(CROSSED).plan.links}
    gone = [before[c] for c in before.keys() - {link.cell for link in package_of(RING).plan.links}]

    switching.to(package_of(RING), DrainSchedule())

    (interface,) = gone
    assert switching.steps() == [
        (0.0, "add new links"),
        (5.0, f"tag {interface}"),
        (6.0, f"avoid {interface}"),
        (7.0, f"close sessions of {interface}"),
        (7.5, f"remove {interface}"),
        (10.0, "complete the change"),
    ]
    assert [each for each in switching.host.performed if isinstance(each, RemoveTunnel)] == [
        RemoveTunnel(interface)
    ]


@pytest.mark.feature("G07")
def test_a_link_without_sessions_still_carries_what_is_on_its_way() -> None:
    way = drain_steps(package_of(CROSSED), package_of(RING), DrainSchedule())

    (closed,) = (each for each in way if Drain.CLOSED in each.drained.values())
    (interface,) = closed.drained
    there = {link.interface: link for link in closed.package.plan.links}
    plan, roster = closed.package.plan, closed.package.roster
    routing = daemons(routing_policy(plan, roster, lans=(), drained=closed.drained))

    assert interface in there
    assert str(there[interface].remote4) not in integrated(routing)
    assert closed.wait_drained == (interface,)


@pytest.mark.feature("G07")
def test_steps_are_timed_from_when_the_activation_was_received() -> None:
    switching = Switching(package_of(CROSSED))

    switching.to(package_of(RING), DrainSchedule(started_at=switching.clock.time - 3))

    assert [time for time, _ in switching.steps()] == [0.0, 2.0, 3.0, 4.0, 4.5, 7.0]


@pytest.mark.feature("G07")
def test_a_new_link_is_made_first_and_waited_for_as_long_as_patience_lasts() -> None:
    grown = planned(uvn(cells=7, strategy=Strategy.CIRCULAR), RING)
    (cell, *_) = (link.a.cell for link in RING.links if link not in grown.links)
    switching = Switching(package_of(RING, cell))

    switching.to(package_of(grown, cell), DrainSchedule(remove_after=0, timeout=3))

    kinds = [
        type(each)
        for each in switching.host.performed
        if isinstance(each, CreateTunnel | RemoveTunnel)
    ]
    assert kinds == [CreateTunnel, RemoveTunnel]
    assert [time for time, _ in switching.steps()][1] == 3.0


@pytest.mark.feature("G07")
def test_nothing_is_waited_for_when_the_new_sessions_are_up() -> None:
    grown = planned(uvn(cells=7, strategy=Strategy.CIRCULAR), RING)
    (cell, *_) = (link.a.cell for link in RING.links if link not in grown.links)
    switching = Switching(package_of(RING, cell))
    switching.host.sessions = tuple(
        SessionStatus(neighbor=str(link.remote4), state="Established", prefixes=1, bfd="up")
        for link in package_of(grown, cell).plan.links
    )
    switching.host.handshakes = {link.public_key: 1 for link in package_of(grown, cell).plan.links}

    switching.to(package_of(grown, cell), DrainSchedule(remove_after=0, timeout=3))

    assert [time for time, _ in switching.steps()][1] == 0.0


def test_a_link_that_is_still_needed_goes_after_a_while_all_the_same() -> None:
    switching = Switching(package_of(CROSSED))
    switching.host.interfaces_with_routes = {
        link.interface for link in package_of(CROSSED).plan.links
    }

    switching.to(package_of(RING))

    assert [time for time, text in switching.steps() if text.startswith("close")] == [12.0]


@pytest.mark.feature("G08")
def test_links_change_keys_in_their_batches_at_the_times_that_both_ends_know() -> None:
    old, new = package_of(CROSSED), package_of(rekeyed(CROSSED))
    links = {f"1-{link.cell}": link.interface for link in old.plan.links}
    first, *rest = sorted(links)
    switching = Switching(old)

    switching.to(new, DrainSchedule(batches=(("4-5",), (first,), tuple(rest)), period=4))

    others = ", ".join(each for each in links.values() if each != links[first])
    changes = [each for each in switching.steps() if "again" not in each[1]]
    assert changes == [
        (0.0, "add new links"),
        (4.0, f"tag {links[first]}"),
        (5.0, f"avoid {links[first]}"),
        (5.5, f"change {links[first]}"),
        (8.0, f"tag {others}"),
        (9.0, f"avoid {others}"),
        (9.5, f"change {others}"),
    ]
    changed = [each for each in switching.host.performed if isinstance(each, ConfigureTunnel)]
    assert sorted(each.tunnel.name for each in changed) == sorted(links.values())


@pytest.mark.feature("G08")
@pytest.mark.parametrize(("cell", "calls"), [(1, True), (6, False)])
def test_of_two_that_could_one_calls_until_the_other_answers(cell: int, *, calls: bool) -> None:
    old, new = package_of(CROSSED, cell), package_of(rekeyed(CROSSED), cell)
    switching = Switching(old)

    switching.to(new, DrainSchedule(period=4))

    called = {name for name, _ in switching.host.handshakes_initiated}
    assert called == ({link.interface for link in new.plan.links} if calls else set())
    # Nobody answers: it goes on for as long as the period allows, with more and more patience.
    assert len(switching.host.handshakes_initiated) == (7 * len(new.plan.links) if calls else 0)
    assert switching.seconds == pytest.approx(1.5 + 2.0, abs=0.3)


@pytest.mark.feature("G08")
def test_a_link_whose_other_end_is_not_ready_is_held() -> None:
    old, new = package_of(CROSSED), package_of(rekeyed(CROSSED))
    one = old.plan.links[0]
    switching = Switching(old)

    switching.to(new, DrainSchedule(hold=(f"1-{one.cell}",)))

    changed = [each for each in switching.host.performed if isinstance(each, ConfigureTunnel)]
    assert {each.tunnel.name for each in changed} == {
        link.interface for link in new.plan.links if link.cell != one.cell
    }
    kept = deferred(old, (f"1-{one.cell}",))
    there = with_deferred(new, kept)
    assert [link.public_key for link in there.plan.links] == [
        one.public_key,
        *(link.public_key for link in new.plan.links if link.cell != one.cell),
    ]
    assert there.secrets[one.key] == old.secrets[one.key]
    assert drain_steps(there, there, DrainSchedule()) == (
        DrainStep(what="add new links", package=there),
    )
    assert with_deferred(new, DeferredLinks()) == new
    assert "private" not in repr(kept)
    # Later, when it is ready, that link alone changes.
    assert [set(stage.drained) for stage in drain_steps(there, new, DrainSchedule())] == [
        set(),
        {one.interface},
        {one.interface},
        {one.interface},
        set(),
    ]


@pytest.mark.parametrize("secret", ["key", "psk"])
def test_a_link_with_a_new_secret_is_drained_before_it_changes(secret: str) -> None:
    old = package_of(CROSSED)
    one = old.plan.links[0]
    new = replace(old, secrets=old.secrets | {getattr(one, secret): "another"})

    steps = drain_steps(old, new, DrainSchedule())

    assert [set(step.drained) for step in steps] == [
        set(),
        {one.interface},
        {one.interface},
        {one.interface},
        set(),
    ]


def test_a_link_imports_what_either_package_imports_until_all_cells_have_changed() -> None:
    old = importing(package_of(CROSSED), 2)
    new = importing(package_of(CROSSED), 3)

    steps = drain_steps(old, new, DrainSchedule(remove_after=5))

    first, last = steps
    assert {2, 3} <= set(first.package.plan.links[0].import_origins.cells)
    assert last.package == new
    assert (last.at, last.is_cleanup) == (5 + NARROW_AFTER, True)


def importing(package: Package, cell: int) -> Package:
    first, *others = package.plan.links
    first = replace(first, import_origins=CellSet(cells=(cell,)))
    return replace(package, plan=replace(package.plan, links=(first, *others)))


def test_an_undo_changes_all_at_once() -> None:
    schedule = schedule_of(Activation(generation=2, undo=True), started_at=None)
    switching = Switching(package_of(CROSSED))

    switching.to(package_of(RING), schedule)

    assert switching.steps() == [(0.0, "change at once")]
    assert switching.seconds == 0


def test_an_activation_has_the_schedule_of_the_change() -> None:
    activation = Activation(generation=2, batches=(("1-2",),), period=7.5, hold=("1-3",))

    schedule = schedule_of(activation, started_at=8.5)

    assert schedule.started_at == 8.5
    assert (schedule.batches, schedule.period, schedule.hold, schedule.at_once) == (
        (("1-2",),),
        7.5,
        ("1-3",),
        False,
    )


def test_a_link_that_is_changed_stays_avoided_until_it_answers() -> None:
    old, new = package_of(CROSSED), package_of(rekeyed(CROSSED))

    way = drain_steps(old, new, DrainSchedule())

    drains = [set(stage.drained.values()) for stage in way]
    assert drains == [set(), {Drain.TAGGED}, {Drain.AVOIDED}, {Drain.AVOIDED}, set()]
    assert way[3].package == way[4].package == new


def test_a_link_to_a_cell_that_left_the_uvn_is_removed_at_once() -> None:
    smaller = replace(uvn(), cells=uvn().cells[:-1])
    old, new = package_of(CROSSED), package_of(planned(smaller, CROSSED))

    (first, *_) = drain_steps(old, new, DrainSchedule())

    assert 6 in {link.cell for link in old.plan.links}
    assert 6 not in {link.cell for link in first.package.plan.links}


def test_a_cancelled_change_names_the_step_that_was_not_taken() -> None:
    switching = Switching(package_of(CROSSED))
    host, clock = switching.host, switching.clock
    end = clock.time + 5.5

    with pytest.raises(DrainCancelled, match="avoid uwg-b"):
        switch(
            host,
            old=package_of(CROSSED),
            new=package_of(RING),
            pause=clock.pause,
            now=clock.now,
            cancelled=lambda: clock.time > end,
        )

    assert clock.time == pytest.approx(end, abs=0.2)


def test_a_failure_is_reported_and_leaves_the_host_as_it_was() -> None:
    switching = Switching(package_of(CROSSED))
    before = str(switching.host)
    changes = sum(
        1 for each in drain_steps(package_of(CROSSED), package_of(RING), QUICK) if each.drained
    )
    assert changes
    switching.host.fail_at(2)

    with pytest.raises(UnoError, match="injected failure"):
        switching.to(package_of(RING))

    assert str(switching.host) == before


@pytest.mark.feature("G07")
def test_a_newer_package_is_changed_to_by_hand_in_stages_where_the_one_before_runs() -> None:
    switching = Switching(package_of(CROSSED))
    reported: list[str] = []

    done = by_hand(switching, old=package_of(CROSSED), new=package_of(RING), reported=reported)

    assert any(isinstance(each, RemoveTunnel) for each in done)
    assert [each for each in reported if each.startswith(("tag", "avoid"))] != []


def test_by_hand_nothing_is_done_in_stages_where_something_else_runs_or_nothing() -> None:
    switching = Switching(package_of(RING))

    assert by_hand(switching, old=package_of(CROSSED), new=package_of(RING)) == ()

    switching.host = FakeHost()

    assert by_hand(switching, old=package_of(CROSSED), new=package_of(RING)) == ()


def by_hand(
    switching: Switching, *, old: Package, new: Package, reported: list[str] | None = None
) -> tuple[Action, ...]:
    return change_over(
        switching.host,
        old=old,
        new=new,
        progress=(reported if reported is not None else []).append,
        pause=switching.clock.pause,
        now=switching.clock.now,
    )
