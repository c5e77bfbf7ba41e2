"""Who sees what: a table of roles and fields, and that nothing else gets through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from pictures import corp, healthy_pictures, phone_at, picture_of, with_status, with_view
from strategies import OWNER
from uno.model.status import UndonePackage
from uno.web.documents import CellReport
from uno.web.particle_rows import particle_list
from uno.web.picture import LinkRates, Picture
from uno.web.planned_facts import network_settings, site_guide
from uno.web.readers import Reader, reader_of
from uno.web.reports import cell_report, link_report
from uno.web.view import matrix, summary

PARIS, ROME, OSLO, ATTIC = 1, 2, 3, 4

# What each document has in it for the UVN's owner (U), for the owner of the cells rome and attic
# and of a particle (C), and for the owner of a particle alone (P). What is in no row is empty for
# all in this picture. `cell` and `report` are of rome, `other` and `report_other` of the cell of
# another owner; `link` is one of rome's, with both of its ends, `link_other` one between others.
TABLE = """
U C P | summary      | uvn viewer generation consistent routed registry headline totals directory
U C P | summary      | cells
U C   | summary      | severity alerts links lans risks
U     | summary      | rollout undone waiting
  C P | summary      | limited
U C   | cell         | id name kind health why owner page age uptime generation package version
U C   | cell         | lans links links_up particles_online serves_particles x y
  C   | cell         | own
U C P | other        | id name kind health serves_particles x y
U     | other        | own owner page age uptime generation package version links links_up
U C   | other        | lans
U C   | link         | name a b health age handshake rtt mtu receive_rate send_rate
U C   | link_other   | name a b health
U     | link_other   | age handshake rtt mtu receive_rate send_rate
U C   | report       | cell faults node4 node6 endpoint asn host_uptime wireguard package_format
U C   | report       | detection
U C   | report       | registry ack ack_generation undone undone_age problem obstacles pending lans
U C   | report       | links paths routes particles interfaces ports dropped
U C P | report_other | cell
U     | report_other | detection
U     | report_other | node4 node6 endpoint asn host_uptime wireguard package_format registry ack
U     | report_other | ack_generation lans links paths routes interfaces ports
  C P | report_other | limited
U C   | end_other    | cell peer age alive works interface handshake bgp bfd prefixes flaps rtt mtu
U C   | end_other    | received sent
U     | end_other    | address4 address6 port endpoint
U C   | end          | cell peer age alive works interface address4 address6 port endpoint
U C   | end          | planned_endpoint handshake bgp bfd prefixes flaps rtt mtu received sent
U     | rows         | other
U C   | rows         | own
U C P | settings     | uvn generation directory strategy users
U C   | settings     | identity links ports
U     | settings     | owner address ring settings pools banned users_other
U C   | guide        | own
U     | guide        | other
U C P | particle     | id name owner address4 address6 cells own
U   P | particle     | online at handshake received sent
U     | particle     | banned
U     | particles    | other
"""


def rich() -> Picture:
    """Return a picture in which every field has something that may be of interest."""
    picture = phone_at(picture_of(corp(), viewer=ROME), ROME)
    picture = with_status(
        picture,
        ROME,
        problem="the disk is full",
        obstacles=("a rule",),
        pending=("remove uwg-b7",),
        undone=UndonePackage(generation=9, reason="no contact", age=30),
        dropped={"input": 3},
    )
    picture = with_view(picture, undone=3, reason="x", waiting=2, rollout="staging")
    names = [f"{a}-{b}" for a, b in picture.links]
    return replace(picture, rates={name: LinkRates(receive=1.0, send=2.0) for name in names})


def readers(picture: Picture) -> dict[str, Reader]:
    assert picture.directory is not None
    found = {
        "U": reader_of(OWNER, picture.directory),
        "C": reader_of("ann@example.org", picture.directory),
        "P": reader_of("phil@example.org", picture.directory),
    }
    return {role: reader for role, reader in found.items() if reader is not None}


def seen_by(picture: Picture, reader: Reader) -> Iterator[str]:
    """Yield the rows of the table that have something in them."""
    whole = summary(picture, reader)
    yield from filled("summary", whole)
    cells = {cell.id: cell for cell in whole.cells}
    if reader.owns(ROME):
        yield from filled("cell", cells[ROME])
    yield from filled("other", cells[OSLO])
    links = {link.name: link for link in whole.links}
    yield from filled("link", links.get("1-2"))
    yield from filled("link_other", links.get("1-3"))
    report = cell_report(picture, ROME, reader)
    if report is not None and not report.limited:
        yield from filled("report", report)
    yield from filled("report_other", cell_report(picture, OSLO, reader))
    link = link_report(picture, PARIS, ROME, reader)
    if link is not None:
        yield from filled("end_other", link.ends[0])
        yield from filled("end", link.ends[1])
    grid = matrix(picture, reader)
    for cell, row in zip(grid.cells, grid.rtt, strict=True):
        if any(value >= 0 for value in row):
            yield "rows.own" if cell in (ROME, ATTIC) else "rows.other"
    shown = network_settings(picture, reader)
    yield from filled("settings", shown)
    if any(user.email != reader.email for user in shown.users):
        yield "settings.users_other"
    yield from ["guide.own"] if site_guide(picture, ROME, reader) else []
    yield from ["guide.other"] if site_guide(picture, OSLO, reader) else []
    for particle in particle_list(picture, reader).particles:
        yield from filled("particle", particle)
        if particle.owner and particle.id not in reader.particles:
            yield "particles.other"


def filled(name: str, value: Struct | None) -> Iterator[str]:
    """Yield the fields of a document that differ from their defaults."""
    if value is None:
        return
    bare = type(value).__struct_defaults__
    fields = type(value).__struct_fields__
    defaults = dict(zip(fields[len(fields) - len(bare) :], bare, strict=True))
    for field in fields:
        found = getattr(value, field)
        if found not in (None, "", (), {}, False, 0) and found != defaults.get(field, ...):
            yield f"{name}.{field}"


def rows() -> dict[str, set[str]]:
    found = {}
    for line in TABLE.strip().splitlines():
        roles, document, fields = (part.strip() for part in line.split("|"))
        found |= {f"{document}.{field}": set(roles.split()) for field in fields.split()}
    return found


@pytest.mark.parametrize("role", "UCP")
def test_each_role_sees_what_the_table_says_and_no_more(role: str) -> None:
    picture = rich()
    reader, table = readers(picture)[role], rows()

    seen = set(seen_by(picture, reader))

    assert {row for row, roles in table.items() if role in roles} - seen == set(), "missing"
    assert {row for row in seen if role not in table.get(row, ())} == set(), "too much"


@settings(max_examples=20)
@given(picture=healthy_pictures(max_cells=5), data=st.data())
def test_who_owns_nothing_sees_no_address_link_or_lan(
    picture: Picture, data: st.DataObject
) -> None:
    particles = [each.id for each in picture.directory.particles] if picture.directory else []
    own = data.draw(st.sets(st.sampled_from(particles))) if particles else set()
    reader = Reader(email="nobody@example.org", particles=frozenset(own))

    whole = summary(picture, reader)

    assert (whole.links, whole.lans, whole.alerts, whole.risks) == ((), (), (), ())
    serving = {each.id for each in picture.roster.members if each.serves_particles}
    assert {cell.id for cell in whole.cells} == (serving if own else set())
    text = str(to_builtins(whole))
    hidden = (str(each.node4) for each in picture.roster.members)
    assert not any(address in text for address in hidden)
    assert not any(str(lan) in text for lan, _ in picture.lans)
    assert {row.id for row in particle_list(picture, reader).particles} == own
    for cell in picture.cells:
        assert site_guide(picture, cell, reader) is None
        report = cell_report(picture, cell, reader)
        assert report is None or report == CellReport(cell=report.cell, limited=True)
    for pair in picture.links:
        assert link_report(picture, *pair, reader) is None


def test_a_banned_or_unknown_user_is_no_reader() -> None:
    directory = picture_of(corp()).directory
    assert directory is not None

    assert reader_of("gone@example.org", directory) is None
    assert reader_of("who@example.org", directory) is None


def test_no_document_has_a_hash_of_a_password() -> None:
    picture = rich()
    owner: Any = readers(picture)["U"]

    documents = (
        summary(picture, owner),
        network_settings(picture, owner),
        particle_list(picture, owner),
        *(cell_report(picture, cell, owner) for cell in picture.cells),
    )

    text = str([to_builtins(each) for each in documents])
    assert not any(secret in text for secret in ("$argon2id$", "psk", "private_key", "password"))
