"""ProbeSchedule in a network namespace that has but its loopback interface; the kernel answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from random import Random

import pytest

from uno.host.command import run
from uno.host.probe.icmp_prober import IcmpProber
from uno.lab import netns
from uno.ports.prober import ProbeResult, ProbeTarget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are root's")

SELF = IPv4Address("127.0.0.1")
HERE = ProbeTarget(address=IPv4Address("127.0.0.2"), source=SELF)
THERE = ProbeTarget(address=IPv4Address("127.0.0.3"), source=SELF, adjacent=True, mtu=1320)
NOWHERE = ProbeTarget(address=IPv4Address("192.0.2.1"), source=SELF)


@pytest.fixture(autouse=True)
def _namespace() -> Iterator[None]:
    name = f"uno-prober-{os.getpid()}"
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    try:
        with netns.entered(name):
            yield
    finally:
        run(["ip", "netns", "delete", name])


async def probing(
    *rounds: tuple[ProbeTarget, ...], seconds: float = 10
) -> dict[IPv4Address, ProbeResult]:
    """Aim at each round of targets until all of it have a result; return the last results."""
    changed = asyncio.Event()
    prober = IcmpProber(clock=time.monotonic, random=Random(1), changed=changed.set)  # noqa: S311
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(prober.run())
        for targets in rounds:
            prober.set_targets(targets)
            while not all(_is_known(prober, target) for target in targets):
                await changed.wait()
                changed.clear()
        running.cancel()
    return dict(prober.results())


def _is_known(prober: IcmpProber, target: ProbeTarget) -> bool:
    found = prober.results()[target.address]
    if target == NOWHERE:
        return found.loss is not None
    return found.rtt is not None and (target.mtu is None or found.mtu is not None)


def test_each_target_has_its_own_result_and_the_unreachable_one_is_lost() -> None:
    found = asyncio.run(probing((HERE, THERE, NOWHERE)))

    assert (found[HERE.address].rtt or 0) > 0
    assert found[HERE.address].loss == 0
    assert found[THERE.address].mtu == 1320
    assert found[NOWHERE.address].rtt is None
    assert found[NOWHERE.address].loss == 1


def test_targets_change_while_it_runs() -> None:
    found = asyncio.run(probing((HERE,), (THERE,), (HERE, THERE)))

    assert set(found) == {HERE.address, THERE.address}


def test_two_probers_on_a_host_do_not_take_each_others_answers() -> None:
    async def both() -> tuple[dict[IPv4Address, ProbeResult], dict[IPv4Address, ProbeResult]]:
        return await asyncio.gather(probing((HERE,)), probing((HERE, THERE)))

    first, second = asyncio.run(both())

    assert first[HERE.address].loss == second[HERE.address].loss == 0


@pytest.mark.parametrize("packet", [b"", b"E", b"\x45" + bytes(19), b"\x45" + bytes(60), b"\xff"])
def test_other_packets_and_malformed_ones_are_ignored(packet: bytes) -> None:
    prober = IcmpProber(clock=time.monotonic, random=Random(1))  # noqa: S311 - as above

    assert prober._read(packet) == (None, None)
