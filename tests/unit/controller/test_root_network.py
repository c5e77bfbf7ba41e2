"""How the root VPN is maintained: what is tried again, when, and with which keys."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from uno.bus.liveness import ping_after
from uno.controller import release_store
from uno.controller.root_key_fallback import FALLBACK_SCHEDULE
from uno.controller.root_network import RootNetwork
from uno.controller.store_access import StoreAccess, StoreSnapshot
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.ports.bus import BusConfig
from uno.ports.host import Desired
from uno.registry.store.directory import Registry
from uno.statesync.timers import HELLO_INTERVAL


@dataclass
class Site:
    """A host and a bus that may fail. `passes` and `buses` are what was asked of them."""

    passes: list[Desired] = field(default_factory=list)
    buses: list[tuple[BusConfig, ...]] = field(default_factory=list)
    failure: UnoError | None = None

    def reconcile(self, desired: Desired) -> None:
        self.passes.append(desired)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def network(site: Site) -> RootNetwork:
    return RootNetwork(
        reconcile=site.reconcile,
        configure_bus=lambda config, also: site.buses.append((config, *also)),
        schedule=FALLBACK_SCHEDULE,
        has_ipv6=True,
        licence=None,
    )


@pytest.fixture
def snapshot(registry: Registry) -> StoreSnapshot:
    release_store.release(registry, attempt=1)
    found = StoreAccess(registry.layout.root).snapshot()
    assert found is not None
    return found


def maintain(network: RootNetwork, snapshot: StoreSnapshot, *times: float) -> None:
    async def passes() -> None:
        for now in times:
            await network.maintain(snapshot, wanted=1, now=now)

    asyncio.run(passes())


def test_a_host_that_is_as_desired_is_reconciled_once_a_minute(
    site: Site, network: RootNetwork, snapshot: StoreSnapshot
) -> None:
    maintain(network, snapshot, 0.0, 1.0, 59.9)
    assert len(site.passes) == 1
    maintain(network, snapshot, 60.0)

    assert len(site.passes) == 2
    assert site.passes[0] == site.passes[1]
    assert len(site.buses) == 1


@pytest.mark.feature("G57")
def test_a_metered_cell_is_a_metered_peer_of_the_registry(
    site: Site, network: RootNetwork, snapshot: StoreSnapshot
) -> None:
    generation = snapshot.record.release.generation
    first, *rest = snapshot.plan.cells
    timing = replace(snapshot.plan.timing, metered=True)
    metered = replace(first, member=replace(first.member, timing=timing))
    plan = replace(snapshot.plan, cells=(metered, *rest))

    maintain(network, replace(snapshot, plans={**snapshot.plans, generation: plan}), 0.0)

    ((config,),) = site.buses
    assert [each.address for each in config.peers if each.metered] == [first.member.node4]
    assert ping_after(with_registry=True, metered=True) > HELLO_INTERVAL
    assert ping_after(with_registry=True, metered=False) < HELLO_INTERVAL


def test_the_first_failure_is_raised(
    site: Site, network: RootNetwork, snapshot: StoreSnapshot
) -> None:
    site.failure = TransientFailure("FRR does not answer")

    with pytest.raises(TransientFailure):
        maintain(network, snapshot, 0.0)


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (TransientFailure("a name does not resolve"), [60.0, 62.0, 64.0]),
        (ActionNeeded("the interface is not uno's"), [60.0, 120.0, 180.0]),
    ],
)
def test_a_later_failure_is_logged_once_and_tried_again(
    site: Site,
    network: RootNetwork,
    snapshot: StoreSnapshot,
    caplog: pytest.LogCaptureFixture,
    failure: UnoError,
    times: list[float],
) -> None:
    maintain(network, snapshot, 0.0)
    site.failure = failure

    with caplog.at_level(logging.WARNING):
        for count, now in enumerate(times, start=2):
            maintain(network, snapshot, now, now + 1.9)
            assert len(site.passes) == count
    site.failure = None
    maintain(network, snapshot, times[-1] + 60)
    site.failure = failure
    with caplog.at_level(logging.WARNING):
        maintain(network, snapshot, times[-1] + 120)

    assert caplog.messages == [f"the root VPN cannot be reconciled: {failure}"] * 2


def test_the_host_is_cleaned_only_if_it_was_changed(
    site: Site, network: RootNetwork, snapshot: StoreSnapshot
) -> None:
    asyncio.run(network.remove())
    assert site.passes == []
    maintain(network, snapshot, 0.0)
    asyncio.run(network.remove())

    assert site.passes[1:] == [Desired()]
