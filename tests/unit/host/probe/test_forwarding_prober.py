"""Forwarding is proved in a network namespace that is a router, beside one that is a neighbour."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from random import Random

import pytest
from msgspec.structs import replace

from uno.diagnostics import ActionNeeded
from uno.host.command import run
from uno.host.probe import lan_injector
from uno.host.probe.forwarding_prober import LinuxForwardingProber
from uno.lab import netns
from uno.model.net import Address
from uno.ports.prober import ForwardingProbe

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's"),
    pytest.mark.skipif(not os.access("/dev/net/tun", os.W_OK), reason="there is no TAP interface"),
    pytest.mark.feature("G52"),
]

IDENTITY = "0123456789abcdef"
SIZES = (96, 1320)
# Of the router, of the neighbour, and of a host in the LAN.
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", "10.1.0.254"), 6: ("fd09::1", "fd09::2", "fd01::fe")}
LAYOUT = """\
link add wan type veth peer name wan netns {there}
link add lan0 type veth peer name host netns {there}
link set lo up
link set wan up
link set lan0 up
addr add 192.0.2.1/24 dev wan
addr add fd09::1/64 dev wan nodad
addr add 10.1.0.1/24 dev lan0
addr add fd01::1/64 dev lan0 nodad
"""
NEIGHBOUR = """\
link set wan up
link set host up
addr add 192.0.2.2/24 dev wan
addr add fd09::2/64 dev wan nodad
route add 10.1.0.0/24 via 192.0.2.1
route add fd01::/64 via fd09::1
"""


SECOND_LAN = """\
link add lan1 type veth peer name host1
link set lan1 up
link set host1 up
addr add 10.2.0.1/24 dev lan1
"""
# Answers to connections from the LAN pass.
NO_NEW = """\
table inet closed {
  chain through { type filter hook forward priority 0; oifname "lan1" ct state new drop; }
}
"""
NEIGHBOUR_NAMESPACE = f"uno-neighbour-{os.getpid()}"
COUNTER = """\
table netdev lan {
  counter echo { }
  chain received { type filter hook ingress device "host" priority 0;
    icmp type { echo-request, echo-reply } counter name echo
    icmpv6 type { echo-request, echo-reply } counter name echo
  }
}
"""


def probe(version: int, size: int, *, forwarded: bool = True) -> ForwardingProbe:
    own, neighbour, host = map(ip_address, ADDRESSES[version])
    source: Address = host if forwarded else own
    return ForwardingProbe(
        interface="lan0" if forwarded else None, source=source, destination=neighbour, size=size
    )


FORWARDED = frozenset(probe(version, size) for version in (4, 6) for size in SIZES)
OWN = frozenset(probe(version, size, forwarded=False) for version in (4, 6) for size in SIZES)


@pytest.fixture(autouse=True)
def _router() -> Iterator[None]:
    here, there = f"uno-router-{os.getpid()}", NEIGHBOUR_NAMESPACE
    for name in (here, there):
        run(["ip", "netns", "add", name])
    try:
        run(["ip", "-n", here, "-batch", "-"], stdin=LAYOUT.format(there=there))
        run(["ip", "-n", there, "-batch", "-"], stdin=NEIGHBOUR)
        with netns.entered(here):
            parameters = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
            run(["sysctl", "-qw", *(f"{each}=1" for each in parameters)])
            # A LAN host's packet passes strict reverse path filtering, too.
            run(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"])
            # IPv6 needs a moment on an interface that has just come up.
            run(["sh", "-c", "until ping -q -c1 -W1 fd09::2; do sleep 0.05; done"], timeout=20)
            yield
    finally:
        for name in (here, there):
            run(["ip", "netns", "delete", name])


def answered(
    *steps: tuple[Callable[[], object], frozenset[ForwardingProbe]],
) -> list[frozenset[ForwardingProbe]]:
    """Return which probes are answered after each step."""

    async def play() -> list[frozenset[ForwardingProbe]]:
        prober = LinuxForwardingProber(IDENTITY, 1, random=Random(1))  # noqa: S311
        found = []
        try:
            for step, probes in steps:
                step()
                prober.prepare(("lan0",))
                # Resolving the neighbour's address takes a moment.
                found.append(await prober.probe(probes, waits=(0.2, 0.3)))
        finally:
            prober.close()
        return found

    return asyncio.run(play())


def nothing() -> None:
    pass


def by(command: str) -> Callable[[], object]:
    return lambda: run(["sh", "-ec", command])


def test_packets_of_the_lan_and_of_the_router_itself_are_answered_in_any_size() -> None:
    assert answered((nothing, FORWARDED | OWN)) == [FORWARDED | OWN]


def test_what_the_router_does_not_forward_is_not_answered() -> None:
    large = "table inet sizes { chain f { type filter hook forward priority 0; RULE; }; }"
    drops = large.replace("RULE", 'iifname "lan0" meta length > 1200 drop')

    found = answered(
        (by("sysctl -qw net.ipv4.ip_forward=0"), FORWARDED | OWN),
        (by(f"sysctl -qw net.ipv4.ip_forward=1; nft '{drops}'"), FORWARDED),
        (by("nft delete table inet sizes; ip rule add iif lan0 prohibit"), FORWARDED),
    )

    assert found[0] == {each for each in FORWARDED if each.source.version == 6} | OWN
    assert found[1] == {each for each in FORWARDED if each.size == SIZES[0]}
    assert found[2] == {each for each in FORWARDED if each.source.version == 6}


def test_what_another_program_has_removed_is_made_again() -> None:
    found = answered(
        (nothing, FORWARDED),
        (by("nft flush ruleset"), FORWARDED),
        (by("ip link delete uno-f0"), FORWARDED),
        (nothing, FORWARDED),
    )

    assert found == [FORWARDED, FORWARDED, frozenset(), FORWARDED]


def test_an_interface_that_was_made_again_is_followed() -> None:
    again = "ip link delete lan0; ip link add lan0 type dummy || ip link add lan0 type bridge; "
    again += "ip addr add 10.1.0.1/24 dev lan0; ip link set lan0 up"
    four = frozenset(each for each in FORWARDED if each.source.version == 4)

    assert answered((nothing, four), (by(again), four)) == [four, four]


def test_nothing_is_left_and_no_host_of_the_lan_receives_a_probe() -> None:
    before = state()
    in_the_lan("nft", "-f", "-", stdin=COUNTER)

    answered((nothing, FORWARDED))

    assert state() == before
    assert "packets 0 " in in_the_lan("nft", "list", "counter", "netdev", "lan", "echo")


def test_a_prober_answers_those_of_others_as_a_host_of_its_lan() -> None:
    in_the_lan("ip", "-batch", "-", stdin=SECOND_LAN)
    in_the_lan("sysctl", "-qw", "net.ipv4.ip_forward=1")
    run(["ip", "route", "add", "10.2.0.0/24", "via", "192.0.2.2"])
    into_lan = replace(probe(4, SIZES[0]), destination=ip_address("10.2.0.254"))

    async def play() -> list[frozenset[ForwardingProbe]]:
        one, other = (LinuxForwardingProber(IDENTITY, n, random=Random(n)) for n in (1, 2))  # noqa: S311
        found = []
        try:
            one.prepare(("lan0",))
            with netns.entered(NEIGHBOUR_NAMESPACE):
                other.prepare(("lan1",))
            await other.probe((), waits=())
            found.append(await one.probe([into_lan], waits=(0.2, 0.3)))
            in_the_lan("nft", "-f", "-", stdin=NO_NEW)
            found.append(await one.probe([into_lan], waits=(0.2,)))
        finally:
            one.close()
            with netns.entered(NEIGHBOUR_NAMESPACE):
                other.close()
        return found

    assert asyncio.run(play()) == [{into_lan}, frozenset()]


def test_a_host_without_tap_interfaces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan_injector, "_DEVICE", "/dev/net/none")

    with pytest.raises(ActionNeeded, match="this host gives no /dev/net/none"):
        answered((nothing, FORWARDED))


def state() -> tuple[str, str]:
    """The names of interfaces, and the rules."""
    links = run(["sh", "-c", "ip -o link | cut -d: -f2"]).stdout
    return links, run(["nft", "list", "ruleset"]).stdout


def in_the_lan(*command: str, stdin: str | None = None) -> str:
    """Run a command where the other end of the LAN's cable is."""
    enter = ["nsenter", f"--net={netns.NAMES / NEIGHBOUR_NAMESPACE}", "--"]
    return run([*enter, *command], stdin=stdin).stdout
