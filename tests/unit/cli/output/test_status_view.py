"""The whole UVN on a page."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.cli.output import printing
from uno.cli.output.status_view import renderable
from uno.diagnosis.cell_faults import age, faults, unproven_claim
from uno.model.messages import Ack, Phase
from uno.model.net import Network
from uno.model.status import (
    CellStatus,
    CellView,
    LanState,
    LinkState,
    ParticleState,
    UvnView,
)

LAN1, LAN2 = IPv4Network("192.168.1.0/24"), IPv4Network("192.168.2.0/24")


def lan(network: Network, interface: str | None = "eth1") -> LanState:
    return LanState(network=network, interface=interface)


def link(to: int, *, bgp: str = "Established", bfd: str = "up", loss: float = 0.0) -> LinkState:
    return LinkState(
        interface="uwg-b0", cell=to, handshake=42, bgp=bgp, bfd=bfd, rtt=23.12, loss=loss, mtu=1320
    )


def status_of(
    *lans: LanState,
    generation: int = 12,
    links: tuple[LinkState, ...] = (),
    unreachable: tuple[Network, ...] = (),
    particles: tuple[ParticleState, ...] = (),
    obstacles: tuple[str, ...] = (),
    pending: tuple[str, ...] = (),
    problem: str = "",
) -> CellStatus:
    return CellStatus(
        generation=generation,
        lans=lans,
        links=links,
        unreachable=unreachable,
        particles=particles,
        obstacles=obstacles,
        pending=pending,
        problem=problem,
        registry=True,
    )


def cell(
    number: int,
    status: CellStatus | None,
    *,
    alive: bool = True,
    age: float | None = 3.4,
    ack: Ack | None = None,
) -> CellView:
    return CellView(
        id=number,
        name=f"lan-{'-abcdef'[number]}",
        package=12,
        status=status,
        alive=alive,
        age=age,
        ack=ack,
    )


A = cell(1, status_of(lan(LAN1), links=(link(2),)))
B = cell(2, status_of(lan(LAN2), links=(link(1),)))
UVN = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(A, B))


def page(view: UvnView, capsys: pytest.CaptureFixture[str]) -> list[str]:
    printing.page(renderable(view))
    return capsys.readouterr().out.splitlines()


def test_a_uvn_without_faults_fits_into_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert page(UVN, capsys) == [
        "net, seen from lan-a: generation 12, consistent, routed",
        "",
        "CELL   GEN  LANS            LINKS  SEEN  STATE",
        "lan-a   12  192.168.1.0/24    1/1        ok",
        "lan-b   12  192.168.2.0/24    1/1   3 s  ok",
        "",
        "LINK           STATE  HANDSHAKE      RTT  LOSS   MTU",
        "lan-a – lan-b  up          42 s  23.1 ms    0%  1320",
    ]


def test_a_cell_whose_package_a_generation_has_not_changed_is_at_that_generation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = replace(B, status=replace(status_of(lan(LAN2), links=(link(1),)), generation=11))
    lines = page(replace(UVN, generation=14, cells=(A, late)), capsys)

    assert lines[0].startswith("net, seen from lan-a: generation 14, not consistent")
    assert [each.split()[:2] for each in lines[3:5]] == [["lan-a", "14"], ["lan-b", "11"]]


@pytest.mark.feature("G52")
def test_what_is_in_the_way_at_a_cell_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    obstructed = cell(2, status_of(lan(LAN2), obstacles=("LAN 192.168.2.0/24: eth1 is down",)))

    lines = page(replace(UVN, cells=(A, obstructed)), capsys)

    assert lines[0] == "net, seen from lan-a: generation 12, consistent, routed, obstructed"
    assert "lan-b: LAN 192.168.2.0/24: eth1 is down" in lines
    assert lines[4].endswith("degraded")
    gone = replace(UVN, cells=(A, replace(obstructed, alive=False)))
    assert not page(gone, capsys)[0].endswith("obstructed")


@pytest.mark.feature("G52")
def test_a_cell_whose_host_permits_no_proof_is_shown_and_is_no_worse_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unproved = cell(2, replace(status_of(lan(LAN2)), unproved="this host gives no /dev/net/tun"))

    lines = page(replace(UVN, cells=(A, unproved)), capsys)

    assert lines[0] == "net, seen from lan-a: generation 12, consistent, routed"
    assert lines[4].endswith("ok")
    assert lines[-1] == "lan-b: forwarding is not proved: this host gives no /dev/net/tun"


@pytest.mark.feature("G59")
def test_cells_that_hold_the_format_of_packages_back_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = cell(1, replace(status_of(lan(LAN1)), package_format=3))
    old = cell(2, replace(status_of(lan(LAN2)), package_format=2))
    view = replace(UVN, cells=(new, old), package_format=3)

    lines = page(view, capsys)

    assert lines[:2] == [
        "net, seen from lan-a: generation 12, consistent, routed",
        "registry: packages are written in format 2, not in 3: update uno on lan-b",
    ]
    # What the registry writes is not known without it.
    assert not any("format" in line for line in page(replace(view, registry=False), capsys))
    assert not any("format" in line for line in page(replace(view, cells=(new,)), capsys))


def test_the_roll_out_and_what_was_rolled_back_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = UvnView(
        uvn="net",
        viewer=0,
        generation=12,
        cells=(A,),
        rollout="rolling out generation 12: 1 of 2 staged",
        undone=11,
        reason="lan-b lost the registry",
    )

    assert page(view, capsys)[:3] == [
        "net, seen from the registry: generation 12, consistent, routed",
        "registry: rolling out generation 12: 1 of 2 staged",
        "generation 11 was rolled back: lan-b lost the registry",
    ]


@pytest.mark.feature("G41")
def test_a_cell_shows_how_many_changes_of_the_registry_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = UvnView(uvn="home", viewer=1, generation=12, registry=True, waiting=2)

    lines = page(view, capsys)

    assert lines[1] == "registry: 2 changes not released"
    assert "not released" not in "\n".join(page(replace(view, waiting=0), capsys))


def test_a_cell_shows_that_it_has_no_contact_with_the_registry(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = UvnView(uvn="net", viewer=2, generation=12, cells=(A, B))

    assert page(view, capsys)[1] == "no contact with the registry"


def test_a_cell_that_is_behind_stands_out_with_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    staged = Ack(generation=12, phase=Phase.STAGED, running=11)
    behind = cell(2, status_of(lan(LAN2), generation=11), ack=staged)
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(A, behind))

    lines = page(view, capsys)

    assert lines[0] == "net, seen from lan-a: generation 12, not consistent, routed"
    assert lines[4].split() == ["lan-b", "11", "192.168.2.0/24", "0/0", "3", "s", "behind"]
    assert "lan-b: runs generation 11, not 12 yet: staged" in lines


def test_a_cell_without_contact_shows_its_last_state_and_its_age(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = cell(2, B.status, alive=False, age=721)
    never = cell(3, None, alive=False, age=None)
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(A, silent, never))

    lines = page(view, capsys)

    assert "lan-b: no contact for 12 min" in lines
    assert "lan-c: no contact yet; is its package installed, and its agent running?" in lines
    assert sum("no contact" in line for line in lines) == 4


@pytest.mark.parametrize(
    ("status", "ack", "fault"),
    [
        (status_of(lan(LAN1, None)), None, "LAN 192.168.1.0/24 is missing"),
        (
            status_of(unreachable=(LAN1, LAN2)),
            None,
            "does not reach 192.168.1.0/24, 192.168.2.0/24",
        ),
        (status_of(pending=("start FRR",)), None, "pending: start FRR"),
        (status_of(problem="FRR is not complete"), None, "FRR is not complete"),
        (status_of(generation=13), None, "runs generation 13, not 12"),
        (
            status_of(generation=11),
            Ack(generation=12, phase=Phase.REVERTED, running=11, reason="lost the registry"),
            "runs generation 11, not 12: reverted, lost the registry",
        ),
        (
            status_of(generation=11),
            Ack(generation=10, phase=Phase.CONFIRMED, running=10),
            "runs generation 11, not 12",
        ),
    ],
)
def test_each_fault_is_a_sentence(status: CellStatus, ack: Ack | None, fault: str) -> None:
    assert faults(cell(1, status, ack=ack)) == (fault,)


def test_a_cell_that_is_well_has_no_fault() -> None:
    assert faults(A) == ()


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (link(2), "up"),
        (link(2, bfd="down"), "BFD down"),
        (link(2, bgp="Active", bfd="down"), "BGP Active"),
        (link(2, bgp="", bfd=""), "BGP off"),
    ],
)
def test_a_link_is_up_if_both_ends_report_it(
    one: LinkState, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cell(1, status_of(lan(LAN1), links=(one,)))
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(broken, B))

    assert page(view, capsys)[-1].startswith(f"lan-a – lan-b  {state}  ")


def test_of_a_link_the_worse_loss_of_both_ends_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lossy = cell(1, status_of(lan(LAN1), links=(link(2, loss=0.25),)))
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(lossy, B))

    assert " 25% " in page(view, capsys)[-1]


def test_a_link_to_a_cell_without_contact_is_shown_by_its_other_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = cell(2, B.status, alive=False, age=400)
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(A, gone))

    assert page(view, capsys)[-1].startswith("lan-a – lan-b  up  ")


def test_particles_on_line_are_counted_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    here = (ParticleState(id=1, handshake=10), ParticleState(id=2, handshake=500))
    hub = cell(1, status_of(lan(LAN1), particles=here))
    view = UvnView(uvn="net", viewer=1, generation=12, registry=True, cells=(hub,))

    assert page(view, capsys)[-1] == "1 particle online at lan-a"


def test_long_names_and_many_faults_stay_within_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lans = tuple(IPv4Network((f"10.{number}.0.0", 16)) for number in range(30))
    cells = tuple(
        CellView(
            id=number,
            name="a-cell-with-a-name-as-long-as-they-come-" + "x" * 20 + str(number),
            package=12,
            status=status_of(lan(LAN1), links=(link(3 - number),), unreachable=lans),
            alive=True,
            age=86400.0 * 3,
        )
        for number in (1, 2)
    )
    view = UvnView(uvn="net", viewer=0, generation=12, registry=True, cells=cells)

    assert max(map(len, page(view, capsys))) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_times_have_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.feature("G53")
def test_a_cell_that_is_not_believed_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    liar = replace(cell(2, status_of(lan(LAN2), generation=666)), unproven=True)

    lines = page(replace(UVN, cells=(A, liar)), capsys)

    assert lines[0].startswith("net, seen from lan-a: generation 12, not consistent")
    assert lines[4] == "lan-b  666  192.168.2.0/24    0/0   3 s  not believed"
    assert faults(liar) == (unproven_claim(liar),)


def test_a_cell_does_not_fill_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """It can report any number of networks, and links to cells that there are not."""
    lans = tuple(IPv4Network((0x0A000000 + (number << 8), 24)) for number in range(3000))
    links = tuple(link(number) for number in range(1000, 2000))
    body = status_of(*(lan(each, None) for each in lans), links=links, unreachable=lans)

    lines = page(replace(UVN, cells=(A, cell(2, body))), capsys)

    assert len(lines) < 250
    assert any(line.endswith("and 2950 more") for line in lines)
