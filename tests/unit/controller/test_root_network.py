"""How the root VPN is maintained: what is tried again, when, and with which keys."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from uno.controller import release_store
from uno.controller.root_key_fallback import FALLBACK_SCHEDULE
from uno.controller.root_network import RootNetwork
from uno.controller.store_access import StoreAccess, StoreSnapshot
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.ports.bus import BusConfig
from uno.ports.host import Desired
from uno.registry.store.directory import Registry


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
