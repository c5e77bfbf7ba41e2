"""What becomes of a packet in nftables rules, and when that is not known."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from nft_rules import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    FIREWALLD,
    REJECT,
    RETURN,
    Rule,
    Statement,
    chain,
    jump,
    meta,
    payload,
    prefix,
    ruleset,
)
from uno.reconcile.nft_evaluation import (
    FORWARDED,
    RECEIVED,
    Packet,
    PacketDrop,
    Passage,
    evaluate,
    has_chains,
    without_tables,
)

PACKET = Packet(
    version=4,
    iif="uwg-b0",
    oif="eth1",
    source=IPv4Network("192.168.1.0/24"),
    destination=IPv4Network("192.168.2.0/24"),
)
PACKET6 = Packet(
    version=6,
    iif="uwg-b0",
    oif="eth1",
    source=IPv6Network("2001:db8:1::/64"),
    destination=IPv6Network("2001:db8:2::/64"),
)
BFD = Packet(version=4, iif="uwg-b0", protocol="udp", port=3784, local=True)
DROPPED, ACCEPTED, UNKNOWN = "dropped", "accepted", "unknown"


def outcome(text: str, packet: Packet = PACKET) -> str:
    found = evaluate(text, packet, FORWARDED)
    return DROPPED if isinstance(found, PacketDrop) else found.value


def forward(*rules: Rule, policy: str = "accept", **more: Any) -> list[dict[str, Any]]:
    return chain("forward", *rules, hook="forward", policy=policy, **more)


def test_a_last_rule_that_rejects_is_named() -> None:
    assert evaluate(FIREWALLD, PACKET, FORWARDED) == PacketDrop(
        family="inet",
        table="firewalld",
        base="filter_FORWARD",
        chain="filter_FORWARD",
        handle=2,
        rejects=True,
    )


def test_a_policy_that_drops_is_named() -> None:
    found = evaluate(ruleset(forward((ESTABLISHED, ACCEPT), policy="drop")), PACKET, FORWARDED)

    assert found == PacketDrop(family="inet", table="firewalld", base="forward", chain="forward")


@pytest.mark.parametrize("text", ["", "no JSON", '{"nftables": []}', ruleset(forward())])
def test_without_rules_all_is_accepted(text: str) -> None:
    assert outcome(text) == ACCEPTED


MATCHES: list[tuple[Statement, bool | None]] = [
    (meta("iifname", "uwg-b0"), True),
    (meta("iifname", "uwg-*"), True),
    (meta("iif", "lo"), False),
    (meta("oifname", "eth1", op="!="), False),
    (meta("oifname", {"set": ["eth0", "eth1"]}), True),
    (meta("oifname", "@zone"), None),
    (meta("mark", 7), None),
    (meta("nfproto", "ipv6"), False),
    (meta("l4proto", {"set": ["icmp", "ipv6-icmp"]}), False),
    (meta("l4proto", 6), True),
    (meta("l4proto", "udp", op="!="), True),
    (payload("ip", "saddr", prefix("192.168.0.0/16")), True),
    (payload("ip", "saddr", prefix("10.0.0.0/8")), False),
    (payload("ip", "saddr", "192.168.1.7"), None),
    (payload("ip", "saddr", "10.0.0.1"), False),
    (payload("ip", "saddr", "10.0.0.1", op="!="), True),
    (payload("ip", "saddr", "192.168.1.7", op="!="), None),
    (payload("ip", "daddr", {"range": ["192.168.0.0", "192.168.2.255"]}), True),
    (payload("ip", "daddr", {"set": [prefix("192.168.9.0/24"), "192.168.2.7"]}), None),
    (payload("ip", "daddr", {"set": [{"elem": {"val": prefix("192.168.2.0/24")}}]}), True),
    (payload("ip", "protocol", "tcp"), True),
    (payload("ip6", "saddr", prefix("::/0")), False),
    (payload("ip6", "saddr", prefix("::/0"), op="!="), False),
    (payload("tcp", "dport", 22), None),
    (payload("udp", "dport", {"range": [1, 65535]}), False),
    (payload("icmp", "type", "echo-request"), False),
    (ESTABLISHED, False),
    ({"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": "established"}}, True),
    ({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new"]}}, True),
    ({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, False),
    ({"match": {"op": "==", "left": {"ct": {"key": "mark"}}, "right": 1}}, None),
    ({"match": {"op": "<", "left": {"meta": {"key": "length"}}, "right": 100}}, None),
    (
        {
            "match": {
                "op": "==",
                "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]},
                "right": "syn",
            }
        },
        True,
    ),
    (
        {
            "match": {
                "op": "==",
                "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["rst"]]},
                "right": 0,
            }
        },
        True,
    ),
    (
        {
            "match": {
                "op": "==",
                "left": {"fib": {"result": "type", "flags": ["daddr"]}},
                "right": "local",
            }
        },
        False,
    ),
    (
        {
            "match": {
                "op": "==",
                "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}},
                "right": 0,
            }
        },
        None,
    ),
    (
        {
            "match": {
                "op": "==",
                "left": {"concat": [{"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}]},
                "right": {"set": [{"concat": ["uwg-*", "eth0"]}, {"concat": ["uwg-*", "eth1"]}]},
            }
        },
        True,
    ),
    (
        {
            "match": {
                "op": "==",
                "left": {
                    "concat": [
                        {"meta": {"key": "iifname"}},
                        {"payload": {"protocol": "ip6", "field": "saddr"}},
                    ]
                },
                "right": {"set": [{"concat": ["uwg-b0", prefix("::/0")]}]},
            }
        },
        False,
    ),
    ({"limit": {"rate": 5, "burst": 5, "per": "second"}}, None),
    ({"xt": {"type": "match", "name": "comment"}}, True),
    ({"xt": {"type": "match", "name": "physdev"}}, None),
    ({"log": {"prefix": "x"}}, True),
    ({"counter": {"packets": 0, "bytes": 0}}, True),
    ({"a statement of the future": {}}, None),
]


@pytest.mark.parametrize(("match", "applies"), MATCHES)
def test_a_rule_applies_does_not_or_may(match: Statement, *, applies: bool | None) -> None:
    dropping = outcome(ruleset(forward((match, DROP))))
    accepting = outcome(ruleset(forward((match, ACCEPT), policy="drop")))

    expected = {
        True: (DROPPED, ACCEPTED),
        False: (ACCEPTED, DROPPED),
        None: (UNKNOWN, UNKNOWN),
    }
    assert (dropping, accepting) == expected[applies]


@pytest.mark.parametrize(
    ("packet", "rules", "expected"),
    [
        (PACKET, forward((DROP,), family="ip6"), ACCEPTED),
        (PACKET6, forward((DROP,), family="ip6"), DROPPED),
        (PACKET6, forward((payload("ip", "saddr", prefix("0.0.0.0/0")), DROP)), ACCEPTED),
        (PACKET6, forward((payload("ip6", "saddr", prefix("2001:db8::/32")), DROP)), DROPPED),
        (PACKET, chain("c", (DROP,), hook="input"), ACCEPTED),
        (PACKET, chain("c", (DROP,), hook="forward", family="bridge"), ACCEPTED),
        (PACKET, chain("c", (DROP,), hook="prerouting"), DROPPED),
        (PACKET, chain("c", (DROP,), hook="ingress", family="netdev", dev="uwg-b0"), DROPPED),
        (PACKET, chain("c", (DROP,), hook="ingress", family="netdev", dev=["eth0"]), ACCEPTED),
        (PACKET, chain("c", (DROP,), hook="egress", family="netdev", dev="eth1"), DROPPED),
    ],
)
def test_only_chains_that_the_packet_passes_count(
    packet: Packet, rules: list[dict[str, Any]], expected: str
) -> None:
    assert outcome(ruleset(rules), packet) == expected


def test_every_chain_at_a_hook_has_to_accept() -> None:
    accepting = chain("one", (ACCEPT,), hook="forward", table="one")
    dropping = chain("two", (DROP,), hook="forward", table="two")

    found = evaluate(ruleset(accepting, dropping), PACKET, FORWARDED)

    assert isinstance(found, PacketDrop)
    assert found.table == "two"


def test_a_chain_that_is_jumped_to_returns_and_one_that_is_gone_to_does_not() -> None:
    empty, returning = chain("zone"), chain("zone", (RETURN,), (DROP,))
    for zone in (empty, returning):
        jumping = ruleset(forward((jump("zone"),), (DROP,)), zone)
        going = ruleset(forward((jump("zone", "goto"),), (DROP,)), zone)

        assert (outcome(jumping), outcome(going)) == (DROPPED, ACCEPTED)


def test_the_rule_in_the_chain_that_was_jumped_to_is_named() -> None:
    found = evaluate(
        ruleset(forward((jump("zone"),)), chain("zone", (ESTABLISHED, ACCEPT), (REJECT,))),
        PACKET,
        FORWARDED,
    )

    assert isinstance(found, PacketDrop)
    assert (found.base, found.chain, found.handle) == ("forward", "zone", 2)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ([["uwg-*", jump("zone")]], DROPPED),
        ([["eth*", DROP], ["uwg-*", ACCEPT]], ACCEPTED),
        ([["eth*", DROP]], ACCEPTED),
        ("@zones", UNKNOWN),
    ],
)
def test_a_verdict_map_is_followed(elements: Any, expected: str) -> None:
    data = elements if isinstance(elements, str) else {"set": elements}
    rule = {"vmap": {"key": {"meta": {"key": "iifname"}}, "data": data}}

    text = ruleset(forward((rule,)), chain("zone", (DROP,)))
    assert outcome(text) == (ACCEPTED if expected == UNKNOWN else expected)
    text = ruleset(forward((rule,), (DROP,)), chain("zone", (DROP,)))
    assert outcome(text) == (DROPPED if elements == [["eth*", DROP]] else expected)


@pytest.mark.parametrize(
    ("target", "expected"),
    [("REJECT", DROPPED), ("LOG", DROPPED), ("NFQUEUE", UNKNOWN), ("TCPMSS", DROPPED)],
)
def test_targets_of_iptables_are_known_by_name(target: str, expected: str) -> None:
    rule: Rule = ({"xt": {"type": "target", "name": target}},)

    assert outcome(ruleset(forward(rule, (DROP,)))) == expected


def test_an_extension_without_a_name_may_do_anything() -> None:
    assert outcome(ruleset(forward(({"xt": None}, DROP), (DROP,)))) == UNKNOWN


def test_chains_that_jump_in_a_circle_end() -> None:
    one, two = chain("one", (jump("two"),)), chain("two", (jump("one"),))

    assert outcome(ruleset(forward((jump("one"),), (DROP,)), one, two)) == UNKNOWN


def test_what_the_host_itself_receives_passes_input_chains() -> None:
    local = {"fib": {"result": "type", "flags": ["daddr"]}}
    text = ruleset(
        chain(
            "input",
            ({"match": {"op": "==", "left": local, "right": "unicast"}}, ACCEPT),
            (payload("udp", "dport", 22), ACCEPT),
            (payload("udp", "dport", {"range": [3000, 4000]}), DROP),
            hook="input",
        )
    )

    found = evaluate(text, BFD, RECEIVED)

    assert isinstance(found, PacketDrop)
    assert found.handle == 3
    assert evaluate(text, BFD, FORWARDED) is Passage.ACCEPTED


def test_tables_can_be_left_out() -> None:
    own = forward((DROP,), table="uno")
    text = ruleset(own, forward((ACCEPT,)))

    assert outcome(text) == DROPPED
    assert outcome(without_tables(text, [("inet", "uno")])) == ACCEPTED
    assert without_tables(ruleset(own), [("inet", "uno")]) == ""


def test_whether_there_are_chains_at_a_hook() -> None:
    assert has_chains(FIREWALLD, FORWARDED)
    assert not has_chains(FIREWALLD, RECEIVED)
    assert not has_chains("", FORWARDED)
