"""Cells on their way to the process of a page, without what follows from the rest."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pictures import healthy_pictures, with_status
from uno.model import codec
from uno.web.page_site import completed, shortened
from uno.web.picture import Picture


@settings(max_examples=40)
@given(picture=healthy_pictures(), data=st.data())
def test_a_cell_arrives_as_it_was_whatever_it_reaches(
    picture: Picture, data: st.DataObject
) -> None:
    lans = [lan for lan, _ in picture.lans]
    cell = data.draw(st.sampled_from(sorted(picture.cells)))
    for kind in data.draw(st.sets(st.sampled_from(["reachable", "unreachable"]))):
        named = data.draw(st.lists(st.sampled_from(lans), unique=True)) if lans else []
        picture = with_status(picture, cell, **{kind: tuple(named)})
    roster = replace(picture.roster, members=picture.roster.members[::-1])
    sent = picture.cells[cell]

    for known in (picture.roster, roster):
        short, is_shortened = shortened(sent, known)
        assert (completed(short, known) if is_shortened else short) == sent


@settings(max_examples=20)
@given(picture=healthy_pictures())
def test_a_cell_that_reaches_all_is_sent_without_what_it_reaches(picture: Picture) -> None:
    for cell in picture.view.cells:
        assert b'reachable":[]' in codec.encode(shortened(cell, picture.roster)[0])
        assert shortened(cell, picture.roster)[1]
