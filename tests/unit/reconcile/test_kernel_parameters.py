"""The kernel parameters that uno sets, from what the host was before uno."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from packages import HUB, package_of
from uno.agent import service
from uno.diagnostics import TransientFailure
from uno.host.fake.fake_host import FakeHost
from uno.ports.host import Desired, Facts, Nic
from uno.reconcile.apply import ActionFailed
from uno.reconcile.converge import cell_target, compare
from uno.reconcile.kernel_parameters import parameters, relevant, restored

ETH0, DSL, TAP = Nic(name="eth0"), Nic(name="eth0.5"), Nic(name="tap0", is_bridge_port=True)
ACCEPT_RA = "net.ipv6.conf.eth0.accept_ra"
IPV4, IPV6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
REDIRECTS = "net.ipv4.conf.all.accept_redirects"
PACKAGE = package_of(HUB)

pytestmark = pytest.mark.feature("G51")


def up(host: FakeHost) -> tuple[str, ...]:
    """Connect the host, and return the parameters set, in order."""
    difference = cell_target(host, PACKAGE).compare(host)
    difference.apply(host)
    return tuple(key for key, _ in difference.desired.sysctls)


def down(host: FakeHost) -> None:
    compare(host, Desired()).apply(host)


def value(host: FakeHost, key: str) -> str | None:
    return host.observe((key,)).sysctls.get(key)


def test_advertisements_are_accepted_where_they_were_before_the_host_forwards() -> None:
    host = FakeHost(nics=[ETH0, DSL, TAP])

    keys = up(host)

    assert keys[:3] == (
        ACCEPT_RA,
        "net.ipv6.conf.eth0/5.accept_ra",
        "net.ipv6.conf.default.accept_ra",
    )
    assert set(keys[-2:]) == {IPV4, IPV6}


def test_a_default_route_that_is_advertised_stays() -> None:
    host = FakeHost(nics=[ETH0])
    host.advertise("eth0")

    for _ in range(3):
        up(host)
        assert host.facts().nics[0].has_default_route
        assert host.advertise("eth0")


def test_addresses_that_are_advertised_without_a_route_stay_too() -> None:
    host = FakeHost(nics=[ETH0])

    for _ in range(3):
        up(host)
        assert value(host, ACCEPT_RA) == "2"


def test_an_interface_that_comes_later_accepts_advertisements_at_once() -> None:
    host = FakeHost()
    up(host)

    host.plug(ETH0)

    assert host.advertise("eth0")
    up(host)
    assert host.advertise("eth0")


@pytest.mark.parametrize("passes", [0, 2], ids=["static", "agent"])
@pytest.mark.parametrize("before", ["1", "2"])
def test_after_down_an_interface_that_came_later_has_what_the_host_gave_new_ones(
    before: str, passes: int
) -> None:
    host = FakeHost(nics=[ETH0])
    host.sysctl("net.ipv6.conf.default.accept_ra", before)
    up(host)
    host.plug(DSL)
    for _ in range(passes):
        assert cell_target(host, PACKAGE).compare(host).actions == ()

    down(host)

    assert value(host, "net.ipv6.conf.eth0/5.accept_ra") == before
    assert value(host, ACCEPT_RA) == "1"


def test_an_interface_that_accepted_them_while_forwarding_before_uno_does_after_down() -> None:
    host = FakeHost(nics=[ETH0, DSL])
    host.sysctl(ACCEPT_RA, "2")
    up(host)

    down(host)

    assert value(host, ACCEPT_RA) == "2"
    assert value(host, "net.ipv6.conf.eth0/5.accept_ra") == "1"


def test_the_setting_of_an_interface_that_came_later_is_put_back_and_then_restored() -> None:
    host = FakeHost()
    up(host)
    host.plug(ETH0)
    host.sysctl(ACCEPT_RA, "1")
    up(host)
    assert value(host, ACCEPT_RA) == "2"

    down(host)

    assert value(host, ACCEPT_RA) == "1"


def test_what_another_program_set_on_an_interface_that_came_later_stays() -> None:
    host = FakeHost()
    up(host)
    host.plug(ETH0)
    host.sysctl(ACCEPT_RA, "0")
    assert cell_target(host, PACKAGE).compare(host).actions == ()

    down(host)

    assert value(host, ACCEPT_RA) == "0"


def test_an_interface_that_becomes_a_port_of_a_bridge_keeps_its_setting_while_uno_runs() -> None:
    host = FakeHost(nics=[ETH0])
    up(host)
    host.plug(replace(ETH0, is_bridge_port=True))

    assert cell_target(host, PACKAGE).compare(host).actions == ()


def test_an_interface_whose_setting_is_reset_later_accepts_them_at_the_next_pass() -> None:
    host = FakeHost(nics=[ETH0])
    up(host)
    host.sysctl(ACCEPT_RA, "1")

    up(host)

    assert value(host, ACCEPT_RA) == "2"


def test_another_program_that_processes_advertisements_itself_is_left_alone() -> None:
    host = FakeHost(nics=[ETH0])
    up(host)
    host.sysctl(ACCEPT_RA, "0")

    for _ in range(2):
        up(host)
        assert value(host, ACCEPT_RA) == "0"
    down(host)
    assert value(host, ACCEPT_RA) == "0"


def test_what_another_program_set_without_a_pass_since_stays_after_down() -> None:
    host = FakeHost(nics=[ETH0])
    up(host)
    host.sysctl(ACCEPT_RA, "0")

    down(host)

    assert value(host, ACCEPT_RA) == "0"


def test_a_host_that_forwarded_ignores_advertisements_as_before() -> None:
    host = FakeHost(nics=[ETH0])
    host.sysctl(IPV6, "1")

    up(host)

    assert value(host, ACCEPT_RA) == "1"
    assert not host.advertise("eth0")


def test_a_host_that_forwarded_before_is_one_that_did_whatever_happens_since() -> None:
    host = FakeHost(nics=[ETH0])
    host.sysctl(IPV4, "1")
    up(host)
    host.sysctl(IPV4, "0")

    assert host.facts().forwarded
    up(host)
    assert value(host, IPV4) == "1"
    assert host.facts().forwarded
    down(host)
    assert value(host, IPV4) == "1"


def test_redirects_are_refused_while_a_host_forwards_that_did_not() -> None:
    host = FakeHost(nics=[ETH0])
    up(host)

    assert value(host, REDIRECTS) == "0"


def test_a_kernel_without_ipv6_is_asked_for_none() -> None:
    facts = Facts(has_ipv6=False, sysctls={"net.ipv6.conf.default.accept_ra": "1", IPV6: "0"})

    assert not [key for key, _ in parameters(facts) if "ipv6" in key]


def test_forwarding_is_restored_first() -> None:
    originals = {REDIRECTS: "0", ACCEPT_RA: "1", IPV4: "0", IPV6: "0"}

    order = [key for key, _ in restored(originals, {**originals, ACCEPT_RA: "2"})]

    assert set(order[:2]) == {IPV4, IPV6}


# What a host may have before uno: each of the parameters that its decisions depend on.
hosts = st.fixed_dictionaries(
    {
        key: st.sampled_from("012" if key.endswith("accept_ra") else "01")
        for key in relevant(["eth0", "eth0.5"])
    }
)


def host_with(values: dict[str, str]) -> FakeHost:
    host = FakeHost(nics=[ETH0, DSL])
    # These first: they reset the others.
    for key in (IPV4, IPV6):
        host.sysctl(key, values[key])
    for key, each in values.items():
        host.sysctl(key, each)
    return host


@settings(max_examples=40)
@given(values=hosts)
def test_down_restores_whatever_there_was(values: dict[str, str]) -> None:
    host = host_with(values)
    before = str(host)

    up(host)
    up(host)
    down(host)

    assert str(host) == before


@settings(max_examples=40)
@given(values=hosts)
def test_a_second_pass_does_nothing_on_any_host(values: dict[str, str]) -> None:
    host = host_with(values)
    up(host)

    assert cell_target(host, PACKAGE).compare(host).actions == ()


@settings(max_examples=40)
@given(values=hosts)
def test_the_wishes_do_not_depend_on_what_was_done(values: dict[str, str]) -> None:
    host = host_with(values)
    first = cell_target(host, PACKAGE).desired
    up(host)

    assert cell_target(host, PACKAGE).desired == first


@settings(max_examples=40)
@given(values=hosts)
def test_advertisements_are_accepted_after_up_where_they_were_before(
    values: dict[str, str],
) -> None:
    host, connected = host_with(values), host_with(values)
    up(connected)

    for name in ("eth0", "eth0.5"):
        if host.advertise(name):
            assert connected.advertise(name)


@settings(max_examples=40)
@given(values=hosts, number=st.integers(1, 40), halfway=st.booleans())
def test_an_up_that_fails_leaves_the_parameters_as_they_were(
    values: dict[str, str],
    number: int,
    halfway: bool,  # noqa: FBT001 - Hypothesis calls by name
) -> None:
    host = host_with(values)
    before = str(host)
    host.fail_at(number, halfway=halfway, error=TransientFailure("as told"))
    try:
        up(host)
    except ActionFailed:
        assert str(host) == before


def test_a_parameter_that_is_gone_is_not_set() -> None:
    host = FakeHost(nics=[ETH0])
    target = cell_target(host, PACKAGE)
    host.unplug("eth0")

    target.compare(host).apply(host)

    host.plug(replace(ETH0, up=False))
    assert value(host, ACCEPT_RA) == "2"


def docker(*families: str) -> str:
    """The rules that docker has, as nft prints them, by iptables and ip6tables."""
    rules = [
        {"rule": {"family": family, "table": "nat", "expr": [{"xt": {"name": "MASQUERADE"}}]}}
        for family in families
    ]
    return json.dumps({"nftables": rules})


@pytest.mark.parametrize("families", [(), ("ip",), ("ip6",), ("ip", "ip6")])
def test_forwarding_stays_for_what_has_started_since(families: tuple[str, ...]) -> None:
    host = FakeHost(nics=[ETH0])
    before = {key: value(host, key) for key in (IPV4, IPV6, ACCEPT_RA, REDIRECTS)}
    up(host)
    host.foreign_rules = docker(*families)

    users = service.forwarding_users(host)
    service.down(host, forget=True, progress=lambda _: None, still_forwarded=users)

    assert set(users) == {{"ip": 4, "ip6": 6}[each] for each in families}
    four = {IPV4: "1", REDIRECTS: "0"} if "ip" in families else {}
    six = {IPV6: "1", ACCEPT_RA: "2"} if "ip6" in families else {}
    assert {key: value(host, key) for key in before} == {**before, **four, **six}
    assert host.observe(()).originals == {}


def test_what_translated_addresses_before_without_forwarding_keeps_none() -> None:
    host = FakeHost(nics=[ETH0])
    host.foreign_rules = docker("ip")
    up(host)
    host.foreign_rules = docker("ip", "ip6")
    up(host)

    assert set(service.forwarding_users(host)) == {6}


def test_a_host_that_forwarded_before_has_no_use_to_be_named() -> None:
    host = FakeHost(nics=[ETH0])
    host.kernel.set_parameter(IPV4, "1")
    up(host)
    host.foreign_rules = docker("ip", "ip6")

    assert set(service.forwarding_users(host)) == {6}
    assert service.forwarding_users(host)[6] == "ip6 nat"
