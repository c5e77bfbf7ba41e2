from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

from msgspec.structs import replace

from uno.model.plan import PlannedCell
from uno.model.uvn import TimingProfile, Uvn
from uno.planning.diff import diff_text
from uno.planning.planner import plan


def test_a_cell_is_listed_with_its_lans(define: Callable[..., Uvn]) -> None:
    old = one_cell(define)
    lans = (*old.member.lans, IPv4Network("10.1.0.0/16"))

    more = replace(old, member=replace(old.member, lans=lans))

    assert diff_text.cell_changes(old, more) == ("announces 10.1.0.0/16",)
    assert diff_text.cell_changes(more, old) == ("no longer announces 10.1.0.0/16",)


def test_a_changed_field_is_listed_with_both_values(define: Callable[..., Uvn]) -> None:
    old = one_cell(define)
    moved = replace(old.member, name="rome", endpoint=None)

    new = replace(old, member=moved, owner="guest@example.org", particles_port=None)

    assert diff_text.cell_changes(old, new) == (
        "name c1 → rome",
        "address c1.example.org → none",
        "owner owner@example.org → guest@example.org",
        "particles port 63449 → none",
    )


def test_a_cell_without_lans_is_roaming(define: Callable[..., Uvn]) -> None:
    cell = one_cell(define)

    roaming = replace(cell, member=replace(cell.member, lans=()))

    assert diff_text.cell(roaming)[-1] == "roaming"


def test_a_new_owner_of_a_particle_is_listed(define: Callable[..., Uvn]) -> None:
    (particle,) = plan(define(public=1, particles=1), None).particles

    assert diff_text.particle_changes(particle, replace(particle, owner="guest@example.org")) == (
        "owner owner@example.org → guest@example.org",
    )


def test_settings_list_what_is_switched_on(define: Callable[..., Uvn]) -> None:
    without = plan(define(public=1, enable_particles_vpn=False), None)

    changes = diff_text.settings(
        without, plan(define(public=1, timing_profile=TimingProfile.FAST), None)
    )

    assert "particle VPN switched on" in changes
    assert "timing: bfd interval 250 → 100" in changes


def one_cell(define: Callable[..., Uvn]) -> PlannedCell:
    (cell,) = plan(define(public=1), None).cells
    return cell
