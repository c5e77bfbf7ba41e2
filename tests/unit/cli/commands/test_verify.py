from __future__ import annotations

import json

import pytest

from commands import Uno


@pytest.mark.feature("G03")
def test_verify_shows_what_a_failure_would_cost(site: Uno) -> None:
    done = site("verify")

    assert done.status == 3
    assert done.out.splitlines() == [
        "generation 4: 2 cells, 1 link, 2 LANs",
        "Every LAN stays reachable under any single link or cell failure, except:",
        "! 192.168.1.0/24 (cell a) depends on the link a ↔ b.",
        "! 192.168.2.0/24 (cell b) depends on the link a ↔ b.",
        "One more public cell would fix it.",
    ]


@pytest.mark.feature("G03")
def test_nothing_lost_is_exit_status_0(site: Uno) -> None:
    site("define", "cell", "c", "-a", "c.example.org", "-N", "192.168.3.0/24")

    done = site("verify")

    assert done.status == 0
    assert "Every LAN stays reachable under any single link or cell failure." in done.out


@pytest.mark.feature("G03")
def test_two_links_at_once_are_looked_at_when_asked(site: Uno) -> None:
    site("define", "cell", "c", "-a", "c.example.org", "-N", "192.168.3.0/24")

    done = site("verify", "--depth", "2")

    assert done.status == 3
    assert "! any two of 3 links part the cells between them" in done.out
    assert site("verify", "--depth", "3").status == 2


@pytest.mark.feature("G03")
def test_what_is_apart_already_is_exit_status_1(site: Uno) -> None:
    cells = "".join(
        f"  - {{name: {name}, address: {name}.example.org, allowed_lans: [10.{at}.0.0/16]}}\n"
        for at, name in enumerate("cdef")
    )
    deployment = "{strategy: static, strategy_args: {a: [b, c], d: [e], f: [e]}}"
    site("apply", "-s", f"cells:\n{cells}settings:\n  deployment: {deployment}\n")

    done = site("verify")

    assert done.status == 1
    assert "are apart from the others." in " ".join(done.out.split())


@pytest.mark.feature("G03")
@pytest.mark.feature("G41")
def test_a_verification_is_a_value_for_programs(site: Uno) -> None:
    found = json.loads(site("verify", "-J").out)

    assert (found["is_whole"], found["is_safe"]) == (True, False)
    assert found["failure_impacts"] == [
        {
            "kind": "link",
            "failed": [1, 2],
            "cut_off": [[1], [2]],
            "lan_pairs": 1,
            "particle_paths": 2,
        }
    ]
    assert found["suggestion"]["public_cells"] == 1


@pytest.mark.feature("G03")
def test_every_change_of_cells_shows_what_failures_would_cost(site: Uno) -> None:
    private = site("define", "cell", "c", "-N", "192.168.3.0/24")
    user = site("define", "user", "eve@example.org", "-p", "x")

    lines = private.out.splitlines()
    at = lines.index("Every LAN stays reachable under any single link or cell failure, except:")
    assert lines[at + 1].startswith("! 192.168.2.0/24 (cell b) depends on")
    assert "would fix it." in private.out
    assert "reachable" not in user.out


@pytest.mark.feature("G03")
def test_with_quiet_the_exit_status_speaks(site: Uno) -> None:
    done = site("verify", "-q")

    assert (done.status, done.out) == (3, "")


@pytest.mark.feature("G03")
@pytest.mark.feature("G60")
def test_what_is_not_modelled_is_listed_once_and_in_the_value(site: Uno) -> None:
    shown = " ".join(site("verify", "--assumptions").out.split())
    listed = {
        each["name"]: each["what"] for each in json.loads(site("verify", "-J").out)["assumptions"]
    }

    assert {"registry", "forwarded-ports", "installed-packages", "particles", "packet-size"} <= set(
        listed
    )
    assert all(shown.count(f"- {what}") == 1 for what in listed.values())
    assert "Not modelled" not in site("verify").out


@pytest.mark.feature("G03")
@pytest.mark.feature("G60")
def test_cells_at_one_address_are_one_site(site: Uno) -> None:
    ports = "settings: {root_vpn_port: 50001, particles_vpn_port: 50002, backbone_vpn_port: 50003}"
    cells = (
        "  - {name: c, address: A.example.org, allowed_lans: [10.3.0.0/16], " + ports + "}\n"
        "  - {name: d, allowed_lans: [10.4.0.0/16]}\n"
    )
    deployment = "{strategy: static, strategy_args: {a: [b, c], b: [c], d: [a, c]}}"
    site("apply", "-s", f"cells:\n{cells}settings:\n  deployment: {deployment}\n")

    done = site("verify")

    assert done.status == 3
    assert "(private cell d) depends on the site a.example.org (cells a, c)." in " ".join(
        done.out.split()
    )


@pytest.mark.feature("G60")
@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("192.168.9.9", "address 192.168.9.9 of c is private (RFC 1918)"),
        ("2001:db8:9::1", "address 2001:db8:9::1 of c is IPv6, and nothing shows that a, b can"),
    ],
)
def test_an_address_that_others_may_not_connect_to_is_named_each_time(
    site: Uno, address: str, named: str
) -> None:
    site("define", "cell", "c", "-a", address, "-N", "192.168.3.0/24")

    shown, value = site("verify"), json.loads(site("verify", "--json").out)

    assert shown.err.startswith(f"uno: warning: {named}")
    assert [each[: len(named)] for each in value["warnings"]] == [named]


@pytest.mark.feature("G60")
@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("192.168.1.9", "is in LAN 192.168.1.0/24 of a, which other sites reach through the UVN"),
        ("192.168.3.9", "is in LAN 192.168.3.0/24 of c, which other sites reach through the UVN"),
        ("10.255.192.9", "is in the backbone_vpn subnet 10.255.192.0/20"),
    ],
)
def test_an_address_within_the_uvn_never_gets_as_far(site: Uno, address: str, named: str) -> None:
    refused = site("define", "cell", "c", "-a", address, "-N", "192.168.3.0/24")

    assert refused.status == 2
    assert f"-a: address {address} of c {named}" in refused.err
    assert "2 cells" in site("verify").out
