"""What metered cells send at rest."""

from __future__ import annotations

import json

import pytest

from commands import Uno
from uno import spec
from uno.bus import stream_frames
from uno.cli.output.metered_traffic import MeteredCell, metered_cells
from uno.model import codec
from uno.model.messages import SIGNATURE_SIZE, Envelope, HelloMessage, Kind
from uno.model.plan import Plan
from uno.planning.planner import plan

CELLS = [
    {"name": "a", "address": "a.example.org", "allowed_lans": ["192.168.1.0/24"]},
    {"name": "b", "address": "b.example.org", "allowed_lans": ["192.168.2.0/24"]},
]
METERED = {
    "name": "boat",
    "allowed_lans": ["192.168.3.0/24"],
    "settings": {"timing_profile": "metered"},
}


def planned(*cells: dict[str, object], **settings: object) -> Plan:
    owner, address = "john@example.org", "registry.example.org"
    text = {"owner": owner, "address": address, "cells": cells, "settings": settings}
    uvn, _ = spec.load(
        json.dumps(text),
        file="uvn.yml",
        name="net",
        identity="0123456789abcdef" * 2,
        hash_password=lambda plain: plain,
    )
    return plan(uvn, None)


@pytest.mark.feature("G57")
def test_what_a_metered_cell_with_two_links_sends_at_rest_is_counted_by_kind() -> None:
    made = planned(*CELLS, METERED, deployment={"private_uplinks": 2})

    (found,) = metered_cells(made)

    assert found == MeteredCell(
        name="boat",
        links=2,
        detection=60.0,
        bfd=51_017,
        bgp=31_680,
        wireguard=16_020,
        bus=129_600,
        probes=9_720,
        proofs=3_400,
    )
    assert found.total == 241_437


@pytest.mark.feature("G57")
def test_sessions_that_run_when_a_cell_becomes_metered_cost_what_they_did() -> None:
    uplinks = {"private_uplinks": 2}
    before = planned(*CELLS, {**METERED, "settings": {}}, deployment=uplinks)
    after = planned(*CELLS, METERED, deployment=uplinks)

    (found,) = metered_cells(after, before)

    # Two links, a keepalive and its acknowledgement every 3 s rather than every 60 s.
    assert found.bgp_kept == 2 * 264 * (1200 - 60)
    assert metered_cells(after, after)[0].bgp_kept == 0
    assert metered_cells(after, planned(*CELLS))[0].bgp_kept == 0


def test_a_cell_is_metered_with_the_uvn_or_by_itself() -> None:
    own = {**METERED, "settings": {"timing_profile": "default"}}

    assert metered_cells(planned(*CELLS)) == ()
    assert [it.name for it in metered_cells(planned(*CELLS, own, timing_profile="metered"))] == [
        "a",
        "b",
    ]


def test_a_hello_has_the_size_that_is_counted() -> None:
    body = codec.encode(HelloMessage(newest=1_000_000))
    envelope = Envelope(
        subject=3,
        kind=Kind.HELLO,
        sequence=200,
        relayed_by=3,
        body=body,
        signature=bytes(SIGNATURE_SIZE),
    )

    frame, rest = stream_frames.sample(5, envelope)

    assert (len(frame), len(rest)) == (111, 0)


@pytest.mark.feature("F039")
@pytest.mark.feature("G57")
def test_a_plan_prints_what_metered_cells_send_and_how_fast_they_heal(site: Uno) -> None:
    text = "cells: [{name: b, settings: {timing_profile: metered}}]"

    done, value = site("plan", "-s", text), site("plan", "-J", "-s", text)

    (shown,) = [it for it in done.out.splitlines() if it.startswith("b, ")]
    (kept,) = [it for it in done.out.splitlines() if it.startswith("b: until its BGP ")]
    (found,) = json.loads(value.out)["metered"]
    assert shown == (
        f"b, 1 link: at rest it sends about {found['total'] / 1e6:.2f} MB an hour;"
        " a failed link is detected within 60 s"
    )
    assert found["detection"] == 60.0
    assert kept.endswith(f" cost about {found['bgp_kept'] / 1e6:.2f} MB an hour more")
    assert "timing none → BFD 20000 ms × 3, BGP hold 180 s" in done.out
