"""The documents of the page's API, by path: which one, of what, and for whom it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from uno.diagnosis.explanation import Sight, explain
from uno.diagnosis.network_map import find_place, map_of_facts, map_of_package
from uno.diagnostics import InvalidInput
from uno.model import codec
from uno.model.messages import REGISTRY
from uno.web import view
from uno.web.documents import (
    CellReport,
    LinkReport,
    Matrix,
    NetworkSettings,
    ParticleList,
    SiteGuide,
    Summary,
)
from uno.web.particle_rows import particle_list
from uno.web.picture import Picture
from uno.web.planned_facts import network_settings, site_guide
from uno.web.readers import Reader
from uno.web.reports import cell_report, link_report


class NoSuchDocument(Exception):
    """There is nothing of that name, or nothing that the reader may see."""


class ApiDocument(Struct, frozen=True, kw_only=True):
    """A kind of document: `path` below `/api/v1/`, with its parameters in braces.

    `numbers` are the parameters, which are integers. `make` makes it for a reader.
    """

    path: str
    about: str
    kind: type[Struct]
    make: Callable[..., Struct | None]
    numbers: tuple[str, ...] = field(default=())


def _particles(picture: Picture, reader: Reader) -> ParticleList:
    here = picture.package.particles if picture.package else ()
    served = frozenset(each.particle.id for each in here) & reader.particles
    return particle_list(picture, reader, served_here=served)


DOCUMENTS: Final = (
    ApiDocument(path="summary", about="The UVN in short.", kind=Summary, make=view.summary),
    ApiDocument(
        path="matrix",
        about="Reachability between cells.",
        kind=Matrix,
        make=view.matrix,
    ),
    ApiDocument(
        path="cells/{id}",
        about="A cell, with all that it advertises.",
        kind=CellReport,
        make=lambda picture, reader, id: cell_report(picture, id, reader),  # noqa: A006
        numbers=("id",),
    ),
    ApiDocument(
        path="links/{a}-{b}",
        about="A link between two cells, and both of its ends.",
        kind=LinkReport,
        make=lambda picture, reader, a, b: link_report(picture, a, b, reader),
        numbers=("a", "b"),
    ),
    ApiDocument(path="particles", about="Particles.", kind=ParticleList, make=_particles),
    ApiDocument(
        path="settings", about="Definition and plan.", kind=NetworkSettings, make=network_settings
    ),
    ApiDocument(
        path="guide/{cell}",
        about="What a site needs: ports to forward, routes on its router.",
        kind=SiteGuide,
        make=lambda picture, reader, cell: site_guide(picture, cell, reader),
        numbers=("cell",),
    ),
)


def made(
    document: ApiDocument, picture: Picture, reader: Reader, numbers: dict[str, int]
) -> Struct:
    """Return a document. Raises `NoSuchDocument`."""
    found = document.make(picture, reader, **numbers)
    if found is None:
        raise NoSuchDocument
    return found


def explanation(picture: Picture, source: str, target: str) -> dict[str, object]:
    """Return why `source` reaches `target` or not, as `uno explain --json`. Raises `UnoError`."""
    if picture.package is not None:
        known = map_of_package(picture.package)
    elif picture.directory is not None:
        known = map_of_facts(picture.roster, picture.directory)
    else:
        raise InvalidInput("this page explains nothing yet", "run at the registry: uno explain A B")
    places = find_place(source, known), find_place(target, known)
    found = explain(known, _sight(picture), *places)
    return {"reaches": found.reaches, **codec.to_builtins(found)}


def _sight(picture: Picture) -> Sight:
    view = picture.view
    if view.viewer == REGISTRY and not view.registry:
        # No agent runs there: the plan is all that is known.
        return Sight(view=replace(view, cells=()), is_whole=False)
    return Sight(view=view)
