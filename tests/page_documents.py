"""All documents of the page, of one picture of a network, as one of its users may see them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from page_server import Documents
from pictures import NOW
from uno.diagnosis.explanation import Sight, explain
from uno.diagnosis.network_map import find_place, map_of_package
from uno.diagnostics import UnoError
from uno.model import codec
from uno.render.qr import Code
from uno.web.documents import (
    AlertSeverity,
    EventRow,
    LinkSeries,
    ParticleConfiguration,
    ReaderSession,
)
from uno.web.particle_rows import particle_list
from uno.web.picture import Picture
from uno.web.planned_facts import network_settings, site_guide
from uno.web.readers import Reader
from uno.web.reports import cell_report, link_report
from uno.web.view import event_list, matrix, summary

CONFIGURATION = """[Interface]
PrivateKey = aGVyZSBpcyBhIGtleSB0aGF0IG5vYm9keSBoYXMgOik=
Address = 10.253.0.1/32

[Peer]
Endpoint = paris.example.org:63449
AllowedIPs = 0.0.0.0/0
"""


def documents_of(picture: Picture, reader: Reader, events: tuple[EventRow, ...] = ()) -> Documents:
    """Return what the API serves to `reader`, with `events` the newest first."""
    return partial(_document, picture, reader, events)


def session_of(reader: Reader) -> ReaderSession:
    """Return the session of a reader who has just logged in."""
    return ReaderSession(
        email=reader.email,
        name=reader.name,
        is_owner=reader.is_owner,
        cells=tuple(sorted(reader.cells)),
        particles=tuple(sorted(reader.particles)),
        expires_in=43200,
    )


def event(number: int, severity: AlertSeverity, text: str, **about: Any) -> EventRow:
    """Return an event; those with a lower number are twenty minutes older each."""
    at = NOW - 1200 * (50 - number)
    return EventRow(
        number=number,
        time=at,
        clock_trusted=True,
        kind="cell-silent",
        severity=severity,
        text=text,
        **about,
    )


def _document(
    picture: Picture,
    reader: Reader,
    events: tuple[EventRow, ...],
    path: str,
    query: dict[str, str],
) -> Any:
    kind, *rest = path.split("/")
    makers: dict[str, Callable[[], Any]] = {
        "summary": lambda: summary(picture, reader),
        "matrix": lambda: matrix(picture, reader),
        "cells": lambda: cell_report(picture, int(rest[0]), reader),
        "links": lambda: link_report(picture, *map(int, rest[0].split("-")), reader),
        "settings": lambda: network_settings(picture, reader),
        "guide": lambda: site_guide(picture, int(rest[0]), reader),
        "events": lambda: event_list(
            events[::-1],
            reader,
            before=int(query["before"]) if "before" in query else None,
            limit=int(query["limit"]),
        ),
        "series": lambda: _series(int(query["span"])),
        "explain": lambda: _explanation(picture, query["from"], query["to"]),
        "particles": lambda: (
            _configuration(int(rest[0]))
            if rest
            else particle_list(picture, reader, served_here=reader.particles)
        ),
    }
    return makers[kind]() if kind in makers else None


def _configuration(particle: int) -> ParticleConfiguration:
    return ParticleConfiguration(
        id=particle,
        name="phone",
        cell="paris",
        file="corp-paris.conf",
        conf=CONFIGURATION,
        qr=Code(CONFIGURATION).svg("phone at paris"),
    )


def _series(span: int) -> LinkSeries:
    """Return a day in the life of a link: busy by day, with a gap, and a slow half hour."""
    count = span // 60
    gap = range(count * 42 // 100, count * 45 // 100)
    slow = range(count * 70 // 100, count * 73 // 100)

    def curve(low: float, high: float, wobble: float) -> tuple[float | None, ...]:
        return tuple(
            None
            if at in gap
            else low
            + (high - low) * (1 + math.sin(2 * math.pi * at / count - 2)) / 2
            + wobble * (at * 7919 % 101) / 101
            for at in range(count)
        )

    rtt = tuple(
        each if each is None or at not in slow else each + 25
        for at, each in enumerate(curve(19, 23, 4))
    )
    loss = tuple(
        None if at in gap else 0.1 * (at * 7919 % (7 if at in slow else 401) == 5)
        for at in range(count)
    )
    return LinkSeries(
        link="1-2",
        step=60,
        age=20.0,
        rtt=rtt,
        loss=loss,
        receive_rate=curve(4e4, 4e6, 6e5),
        send_rate=curve(2e4, 7e5, 2e5),
    )


def _explanation(picture: Picture, source: str, target: str) -> Any:
    if picture.package is None:
        return None
    known = map_of_package(picture.package)
    try:
        places = find_place(source, known), find_place(target, known)
    except UnoError:
        return None
    found = explain(known, Sight(view=picture.view), *places)
    return {"reaches": found.reaches, **codec.to_builtins(found)}
