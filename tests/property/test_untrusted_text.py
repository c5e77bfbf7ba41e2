"""What another machine wrote reaches a terminal, a log or a page as plain text, or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from uno.cli.output.status_view import renderable
from uno.controller import rollout_events
from uno.model.codec import to_builtins
from uno.model.messages import Ack, Kind, Phase, UvnAnnouncement
from uno.model.package import SignedManifest
from uno.model.status import CellStatus, CellView, UvnView
from uno.model.untrusted_text import MAX_TEXT
from uno.statesync.bodies import MalformedBody, parse

pytestmark = pytest.mark.feature("G53")

ODD = ["\x1b]0;owned\x07", "\x1b[2J\r\n", "a\u202eb", "\u2066\u200b", "[bold red]well[/]", "<b>"]
# Control characters, escapes, overrides of direction, invisible ones, markup: and ordinary text.
hostile = (
    st.sampled_from(ODD)
    | st.integers(0, 3 * MAX_TEXT).map(lambda size: "A" * size)
    | st.text(st.characters(categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs", "L")), max_size=9)
)
addresses = st.sampled_from(["fe80::1", "fe80::1%eth0", "fe80::1%\x1b[2J", "fe80::%" + 60 * "a"])
networks = addresses.map(lambda each: f"{each}/128") | st.just("192.168.1.0/24")
numbers = st.integers(0, 1000) | st.sampled_from([-1, 1 << 63, 1 << 64, 1 << 200, 1e300, -0.5])


def body(
    required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Return JSON values with the required fields, and any of the optional ones."""
    return st.fixed_dictionaries(required, optional=optional)


links = body(
    {"interface": hostile, "cell": st.integers(1, 2)}, bgp=hostile, bfd=hostile, rtt=numbers
)
lans = body({"network": networks}, interface=hostile, address=addresses)
statuses = body(
    {"generation": numbers},
    content=hostile,
    lans=st.lists(lans, max_size=2),
    links=st.lists(links, max_size=2),
    unreachable=st.lists(networks, max_size=2),
    obstacles=st.lists(hostile, max_size=3) | st.just(["x"] * 1000),
    wireguard=hostile,
    version=hostile,
    pending=st.lists(hostile, max_size=3),
    problem=hostile,
)
acks = body(
    {"generation": numbers, "phase": st.sampled_from([*Phase, "\x1b"]), "running": st.just(1)},
    reason=hostile,
)
announcements = body(
    {"generation": numbers}, version=hostile, rollout=hostile, reason=hostile, undone=numbers
)
activations = body(
    {"generation": numbers},
    batches=st.lists(st.lists(hostile, max_size=2), max_size=2),
    hold=st.lists(hostile, max_size=2),
    confirm_timeout=numbers,
)
trusts = body(
    {},
    registry_keys=st.lists(
        body({"key": hostile, "follows": hostile, "signature": hostile}), max_size=2
    ),
    cells=st.lists(body({"id": numbers}, before=numbers), max_size=2),
)
directories = body(
    {"generation": numbers, "uvn": hostile, "owner": hostile},
    address=hostile,
    settings=st.dictionaries(hostile, hostile, max_size=2),
    users=st.lists(st.tuples(hostile, hostile, st.booleans()), max_size=2),
    cells=st.lists(
        body({"id": numbers, "name": hostile, "owner": hostile}, location=hostile), max_size=2
    ),
    links=st.lists(st.tuples(*[numbers] * 5), max_size=2),
    particles=st.lists(st.tuples(numbers, hostile, hostile), max_size=2),
    risks=st.lists(
        st.tuples(hostile, st.lists(numbers, max_size=2), st.just([]), numbers, numbers), max_size=2
    ),
)
MESSAGES = {
    Kind.UVN: announcements,
    Kind.STATUS: statuses,
    Kind.ACTIVATION: activations,
    Kind.ACK: acks,
    Kind.TRUST: trusts,
    Kind.DIRECTORY: directories,
    Kind.HELLO: body({}, newest=numbers),
    Kind.HEARTBEAT: body({}, newest=numbers),
}


def texts(value: object) -> Iterator[str]:
    """Yield every text in a value, however deep."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from texts(each)
        case list() | tuple():
            for each in value:
                yield from texts(each)
        case _:
            pass


def parsed(kind: Kind, value: Any) -> Any:
    try:
        return parse(kind, json.dumps(value).encode())
    except MalformedBody:
        return None


def test_no_kind_is_left_out() -> None:
    assert MESSAGES.keys() == set(Kind) - {Kind.OFFER}, "an offer is sealed, and has no text"


@pytest.mark.parametrize("kind", MESSAGES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_text_of_every_message_is_printable_and_short(
    kind: Kind, data: st.DataObject
) -> None:
    found = parsed(kind, data.draw(MESSAGES[kind]))

    for text in texts(to_builtins(found)):
        assert text.isprintable()
        assert len(text) <= MAX_TEXT


@settings(max_examples=100, deadline=None)
@given(status=statuses, ack=acks, announced=announcements)
def test_the_page_and_the_log_show_what_a_cell_wrote_as_plain_text(
    status: Any, ack: Any, announced: Any
) -> None:
    known = parsed(Kind.STATUS, status)
    view = seen(known, parsed(Kind.ACK, ack), parsed(Kind.UVN, announced))

    lines = shown(view)
    logged = [*rollout_events.events(seen(None, None, None), view), rollout_events.failure(view)]

    assert all(line.isprintable() for line in (*lines, *logged))
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) < 1000


def test_markup_is_shown_and_not_obeyed() -> None:
    view = seen(CellStatus(generation=1, problem="[bold red]well[/] <b>"), None, None)

    assert "lan-a: [bold red]well[/] <b>" in shown(view)


def test_a_proof_is_bytes_and_is_never_shown() -> None:
    proof = SignedManifest(manifest=b"\x1b[2J", signature=b"\x07")
    found = parsed(Kind.STATUS, {"generation": 1, "proof": to_builtins(proof)})

    assert found.proof == proof
    assert all(line.isprintable() for line in shown(seen(found, None, None)))


def seen(status: CellStatus | None, ack: Ack | None, announced: UvnAnnouncement | None) -> UvnView:
    announced = announced or UvnAnnouncement(generation=1)
    alive, age = status is not None, 1.0 if status else None
    cell = CellView(id=1, name="lan-a", package=1, status=status, ack=ack, age=age, alive=alive)
    other = CellView(id=2, name="lan-b", package=1)
    return UvnView(
        uvn="net",
        viewer=0,
        generation=1,
        cells=(cell, other),
        rollout=announced.rollout,
        undone=announced.undone,
        reason=announced.reason,
    )


def shown(view: UvnView) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(renderable(view))
    return [line.rstrip() for line in out.getvalue().splitlines()]
