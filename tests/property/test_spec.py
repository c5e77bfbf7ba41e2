"""Properties of reading and writing specs: no text does harm, and what is written is read back."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uno.diagnostics import Problem, Rejected
from uno.model.checks import check
from uno.model.uvn import (
    BACKBONE_VPN,
    PARTICLES_VPN,
    ROOT_VPN,
    Cell,
    CellSettings,
    DeploymentSettings,
    Middleware,
    Particle,
    Settings,
    Strategy,
    TimingProfile,
    User,
    Uvn,
    VpnSettings,
    WebSettings,
)
from uno.spec import load, parse, to_yaml
from uno.spec.build import uvn_from
from uno.spec.known_keys import SPEC
from uno.spec.sections import SpecSection

IDENTITY = "0123456789abcdef" * 2
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA"
FOUR_SITES = (Path(__file__).parents[2] / "examples/four-sites/uvn.yml").read_text()


def keys_of(section: SpecSection) -> set[str]:
    below = [keys_of(group) for group in section.groups.values()]
    return {*section.keys, *section.groups}.union(*below)


KEYS = sorted(
    keys_of(SPEC) | {"email", "name", "password", "excluded", "allowed_lans", "httpd_port", "<<"}
)
FRAGMENTS = [
    *(f"{key}: " for key in KEYS),
    *("\n", "\n  ", "\n    ", "- ", "? ", ": ", ", ", "[", "]", "{", "}", "# ", "\t", " "),
    *("&a ", "*a", "&b ", "*b", "!t ", "!!str ", "!!binary ", "!<x> ", "| \n", ">-\n", "---\n"),
    *("...\n", "%YAML 1.1\n", "%TAG ! x\n", "'", '"', "\\U0011ffff", "\\x", "~", "null", "true"),
    *("yes", ".inf", ".nan", "1e999", "2024-01-01", "0x1f", "0o17", "012", "1" * 5000),
    *("192.168.1.0/24", "::/0", "a@b.c", "Jo <a@b.c>", "static", "uwg-{}", "\x00"),
    *("\ud800", "\ufeff", "\u0085", "\u2028"),
]  # fmt: skip


def answer(text: str) -> tuple[Problem, ...]:
    """The problems of `text`; any exception but `Rejected` fails the test."""
    try:
        _, problems = load(text, file="uvn.yml", identity=IDENTITY, hash_password=lambda _: HASH)
    except Rejected as rejected:
        problems = rejected.problems
    assert all(problem.what and problem.hint for problem in problems)
    assert all(str(problem).isprintable() for problem in problems)
    return problems


@pytest.mark.feature("G46")
@settings(max_examples=60, deadline=None)
@given(text=st.text())
@example(text='"\\UFFFFFFFF"')
@example(text=f"%YAML {'9' * 5000}.1\n---\na")
@example(text="[" * 10_000)
@example(text="{a: " * 10_000)
@example(text="- " * 10_000)
@example(text="? " * 10_000)
@example(text="&a [*a]")
@example(text="a: &a [1, 1, 1, 1]\n" + "".join(f"b{i}: &a [{'*a, ' * 9}]\n" for i in range(20)))
@example(text="\ufeffname: corp")
@example(text="settings: {dds_domain: " + "9" * 10_000 + "}")
def test_no_text_is_answered_with_anything_but_problems(text: str) -> None:
    answer(text)


@settings(max_examples=100, deadline=None)
@given(fragments=st.lists(st.sampled_from(FRAGMENTS), max_size=40))
def test_no_heap_of_yaml_is_answered_with_anything_but_problems(fragments: list[str]) -> None:
    answer("".join(fragments))


@settings(max_examples=50, deadline=None)
@given(garbage=st.binary(max_size=300))
def test_no_binary_file_is_answered_with_anything_but_problems(garbage: bytes) -> None:
    answer(garbage.decode("latin-1"))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["192.168.1.0/24", "a@b.c", "lan-a", "static", "::1", "a.example", "x{}"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(value=values)
def test_no_structure_is_answered_with_anything_but_problems(value: object) -> None:
    answer(json.dumps(value))


def sections(section: SpecSection) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with the keys that a section knows, and anything in them."""
    inner = {key: values for key in section.keys}  # noqa: C420 - the values are no constant
    groups = {key: sections(group) for key, group in section.groups.items()}
    return st.fixed_dictionaries({}, optional={**inner, **groups})


@settings(max_examples=60, deadline=None)
@given(value=sections(SPEC))
def test_known_keys_with_any_value_are_answered_with_problems(value: object) -> None:
    answer(json.dumps(value))


@settings(max_examples=100, deadline=None)
@given(draw=st.data())
def test_a_damaged_spec_is_answered_with_problems(draw: st.DataObject) -> None:
    text = FOUR_SITES
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(text)))
        end = start + draw.draw(st.integers(0, 12))
        text = (
            text[:start] + draw.draw(st.sampled_from(FRAGMENTS) | st.text(max_size=3)) + text[end:]
        )

    answer(text)


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
lines = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20
).map(lambda text: f"x {text}")
emails = st.builds("{}@{}.example".format, names, st.from_regex(r"[a-z]{1,5}", fullmatch=True))
hosts = st.builds("{}.example.net".format, st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True))
hosts |= st.ip_addresses().map(str)
networks4 = st.builds(
    lambda ip, bits: IPv4Network((int(ip), bits), strict=False),
    st.ip_addresses(v=4),
    st.integers(1, 32),
)
networks6 = st.builds(
    lambda ip, bits: IPv6Network((int(ip), bits), strict=False),
    st.ip_addresses(v=6),
    st.integers(1, 128),
)
networks = networks4 | networks6
ports = st.integers(1, 65535)


def vpns(default: VpnSettings) -> st.SearchStrategy[VpnSettings]:
    return st.just(default) | st.builds(
        VpnSettings,
        port=ports,
        peer_port=ports if default.peer_port else st.none() | ports,
        subnet=networks4,
        interface=st.sampled_from(["uwg-x{}", "a{}", "w_{}.1"]),
        allowed_ips=st.lists(networks, max_size=3).map(tuple),
        peer_mtu=st.integers(1280, 9000),
        masquerade=st.booleans(),
        forward=st.booleans(),
        tunnel=st.booleans(),
        keepalive=st.integers(0, 65535),
    )


arguments = st.dictionaries(
    names | lines,
    st.lists(names | lines, max_size=3)
    | st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dictionaries(lines, lines, max_size=2),
    max_size=3,
)
uvn_settings = st.builds(
    Settings,
    timing_profile=st.sampled_from(TimingProfile),
    middleware=st.sampled_from(Middleware),
    enable_root_vpn=st.booleans(),
    enable_particles_vpn=st.booleans(),
    dds_domain=st.integers(0, 232),
    deployment=st.builds(
        DeploymentSettings,
        strategy=st.sampled_from(Strategy),
        strategy_args=arguments,
        private_uplinks=st.integers(1, 4),
        seed=st.integers(-(2**63), 2**63 - 1),
    ),
    root_vpn=vpns(ROOT_VPN),
    particles_vpn=vpns(PARTICLES_VPN),
    backbone_vpn=vpns(BACKBONE_VPN),
)
cell_settings = st.builds(
    CellSettings,
    enable_particles_vpn=st.booleans(),
    httpd_port=ports,
    location=st.none() | lines,
    web=st.builds(WebSettings, certificate=st.none() | lines, key=st.none() | lines),
    root_vpn_port=st.none() | ports,
    particles_vpn_port=st.none() | ports,
    backbone_vpn_port=st.none() | ports,
    timing_profile=st.none() | st.sampled_from(TimingProfile),
)


@st.composite
def uvns(draw: st.DrawFn) -> Uvn:
    """Definitions of every form; whether they could be deployed is another question."""
    owners = sorted(draw(st.sets(emails, min_size=1, max_size=3)))
    users = [
        User(
            email=email,
            name=draw(st.none() | lines),
            password=draw(st.none() | st.just(HASH)),
            excluded=draw(st.booleans()),
        )
        for email in owners
    ]
    cells = [
        Cell(
            id=number,
            name=draw(names),
            owner=draw(st.sampled_from(owners)),
            address=draw(st.none() | hosts),
            allowed_lans=tuple(draw(st.lists(networks, max_size=3))),
            settings=draw(cell_settings),
            excluded=draw(st.booleans()),
        )
        for number in range(1, draw(st.integers(1, 5)))
    ]
    particles = [
        Particle(
            id=number,
            name=draw(names),
            owner=draw(st.sampled_from(owners)),
            excluded=draw(st.booleans()),
        )
        for number in range(1, draw(st.integers(1, 4)))
    ]
    return Uvn(
        name=draw(names),
        identity=IDENTITY,
        owner=draw(st.sampled_from(owners)),
        address=draw(st.none() | hosts),
        users=tuple(users),
        cells=tuple(cells),
        particles=tuple(particles),
        settings=draw(uvn_settings),
        next_cell=len(cells) + 1,
        next_particle=len(particles) + 1,
    )


@pytest.mark.feature("G09")
@settings(max_examples=100, deadline=None)
@given(uvn=uvns())
def test_what_is_written_is_read_back(uvn: Uvn) -> None:
    spec = parse(to_yaml(uvn), file="uvn.yml").spec

    found = uvn_from(spec, name=uvn.name, identity=IDENTITY, hash_password=str.upper)

    assert found == uvn


@settings(max_examples=50, deadline=None)
@given(uvn=uvns())
def test_a_text_has_the_problems_of_the_definition_that_it_writes(uvn: Uvn) -> None:
    problems = answer(to_yaml(uvn))

    assert {problem.what for problem in problems} == {finding.what for finding in check(uvn)}


@settings(max_examples=50, deadline=None)
@given(uvn=uvns())
def test_every_finding_has_a_hint(uvn: Uvn) -> None:
    for finding in check(uvn):
        assert finding.what
        assert finding.hint
        assert f"{finding.what}{finding.hint}".isprintable()
