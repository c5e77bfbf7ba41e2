"""The limits of prefixes: read from uno's configuration, compared with the output of FRR 8.4."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uno.host.routing_frr import prefix_limits
from uno.host.routing_frr.daemons import Frr
from vty_daemon import daemon

pytestmark = pytest.mark.feature("G22")

TEXT = """\
router bgp 4200000001
 neighbor 10.0.0.1 remote-as 4200000002
 !
 address-family ipv4 unicast
  neighbor 10.0.0.1 activate
  neighbor 10.0.0.1 maximum-prefix 2048 restart 1
  neighbor 10.0.0.2 maximum-prefix 2048 restart 1
 exit-address-family
 !
 address-family ipv6 unicast
  neighbor 10.0.0.1 maximum-prefix 1024 restart 1
 exit-address-family
exit
"""
LIMITS = list(prefix_limits.prefix_limits(TEXT))
MEMORY = """\
{} RIB nodes, using 10752 bytes of memory
33 BGP routes, using 3696 bytes of memory
60 Adj-In entries, using 2880 bytes of memory
"""


def counts(received: int) -> str:
    counters = {"Adj-in": received, "Valid": 5, "All RIB": 5, "PfxCt counted": 5}
    return json.dumps({"pfxCounter": 5, "ribTableWalkCounters": counters})


def test_limits_are_those_of_each_neighbour_and_version() -> None:
    assert [(each.neighbor, each.version, each.limit) for each in LIMITS] == [
        ("10.0.0.1", 4, 2048),
        ("10.0.0.2", 4, 2048),
        ("10.0.0.1", 6, 1024),
    ]


def test_what_is_refused_counts() -> None:
    assert not LIMITS[0].is_exceeded(counts(2048).encode())
    assert LIMITS[0].is_exceeded(counts(2049).encode())
    assert not LIMITS[0].is_exceeded(b'{"warning":"No such neighbor or address family"}')
    assert not LIMITS[0].is_exceeded(b"No such neighbor\n")
    assert not LIMITS[0].is_exceeded(None)


def test_without_an_answer_there_are_no_prefixes() -> None:
    assert prefix_limits.prefix_count(MEMORY.format(56).encode()) == 56
    assert prefix_limits.prefix_count(None) == 0


def test_a_session_over_its_limit_ends_alone_and_the_configuration_stays(tmp_path: Path) -> None:
    flooded, other, six = LIMITS
    (tmp_path / "bgpd.conf").write_text(TEXT)
    answers = {
        prefix_limits.COUNT: MEMORY.format(5000),
        flooded.query: counts(4000),
        other.query: counts(7),
        six.query: counts(7),
    }
    frr = Frr(tmp_path)
    with daemon(tmp_path, "bgpd", answers, connections=2) as received:
        assert frr.end_sessions_over_limit() == ("10.0.0.1",)
    # It has ended.
    assert frr.end_sessions_over_limit() == ()

    line = "neighbor 10.0.0.1 maximum-prefix 2048 restart 1"
    enter = ["router bgp 4200000001", "address-family ipv4 unicast"]
    leave = ["exit-address-family", "exit"]
    assert received[-6:] == [*enter, f"{line} force", line, *leave]


def test_neighbours_are_counted_only_above_the_least_limit(tmp_path: Path) -> None:
    (tmp_path / "bgpd.conf").write_text(TEXT)

    frr = Frr(tmp_path)
    with daemon(tmp_path, "bgpd", {prefix_limits.COUNT: MEMORY.format(1024)}) as received:
        assert frr.end_sessions_over_limit() == ()
    assert frr.end_sessions_over_limit() == ()

    assert received == ["enable", prefix_limits.COUNT]


def test_a_limit_that_is_not_reached_by_all_together_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "bgpd.conf").write_text(TEXT)
    answers = {prefix_limits.COUNT: MEMORY.format(2000), LIMITS[2].query: counts(7)}

    frr = Frr(tmp_path)
    with daemon(tmp_path, "bgpd", answers) as received:
        assert frr.end_sessions_over_limit() == ()
    assert frr.end_sessions_over_limit() == ()

    assert [each for each in received if "prefix-counts" in each] == [LIMITS[2].query]
