"""The types of what commands print with `--json`: a JSON Schema for each, and its reference.

Types of the model are as they are; the others add what a command derives from them. A test decodes
what every command prints as its type.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct

from uno.cli.output.metered_traffic import MeteredCell
from uno.diagnosis.check_result import CheckState, Diagnosis
from uno.diagnosis.explained_path import Explanation
from uno.model.plan import Plan, PlannedParticle, Pools
from uno.model.status import CellView, UndonePackage, UvnView
from uno.model.uvn import Cell, Particle, Uvn
from uno.planning.diff.per_cell import Impact
from uno.planning.diff.plan_diff import PlanDiff
from uno.planning.survivability.assumptions import Assumption
from uno.planning.survivability.report import Verification
from uno.registry.changes.history import Difference

# A new key of an object keeps the number; a key that goes, or means something else, raises it.
VERSION = 1

Json: TypeAlias = dict[str, Any]


class SecretCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many secrets a change has drawn, those in place of others included, and deleted."""

    generated: int
    revoked: int


def _with(name: str, base: type[Struct], doc: str, **more: Any) -> type[Struct]:
    """Return the type of an object with the fields of `base`, and with `more` or in their place.

    A type with `| UnsetType` is that of a key that may be missing.
    """
    hints = get_type_hints(base)
    kinds = {**{key: hints[key] for key in base.__struct_fields__}, **more}
    fields = [
        (key, kind, UNSET) if UnsetType in getattr(kind, "__args__", ()) else (key, kind)
        for key, kind in kinds.items()
    ]
    return defstruct(
        name,
        fields,
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
        module=__name__,
        namespace={"__doc__": doc},
    )


VerificationDocument = _with(
    "VerificationDocument",
    Verification,
    "What was examined, and what failures cost. `lines` are the sentences that people read.",
    is_whole=bool,
    is_safe=bool,
    lines=tuple[str, ...],
)


MeteredDocument = _with(
    "MeteredDocument",
    MeteredCell,
    "A metered cell: octets that it sends at rest in an hour, by kind, and their `total`. The loss"
    " of a link is detected within `detection` seconds.",
    total=int,
)


class ChangeDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the registry, from generation `before` to `after`; equal if nothing changes.

    `declared` is what differs in the definition, `diff` in the plan, and `cells` what that means
    for each cell. `metered` are the cells that have this timing profile then. The packages are
    names of files that were written or removed, or with `dry_run` would be.
    """

    changed: bool
    dry_run: bool
    before: int
    after: int
    declared: tuple[Difference, ...]
    diff: PlanDiff
    cells: tuple[Impact, ...]
    metered: tuple[MeteredDocument, ...]  # type: ignore[valid-type]
    secrets: SecretCounts
    cell_packages: tuple[str, ...]
    particle_packages: tuple[str, ...]
    removed: tuple[str, ...]
    particle_packages_postponed: int
    verification: VerificationDocument  # type: ignore[valid-type]
    warnings: tuple[str, ...]


class UserDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user as declared. Hashes of passwords are never printed."""

    email: str
    name: str | None
    excluded: bool


UvnDefinition = _with(
    "UvnDefinition", Uvn, "The whole definition.", users=tuple[UserDefinition, ...]
)


class GenerationLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generation: its `time` in ISO 8601, author, reason, and the digest of its content."""

    number: int
    time: str
    who: str
    why: str
    digest: str


GenerationChanges = _with(
    "GenerationChanges",
    GenerationLine,
    "A generation with what it changed: in the definition (`declared`) and the plan (`decided`).",
    declared=tuple[Difference, ...],
    decided=PlanDiff,
)
GenerationDocument = _with(
    "GenerationDocument",
    GenerationChanges,
    "A generation with what it changed, and its definition.",
    definition=UvnDefinition,
)


class GenerationDiff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs between two generations, in the definition and in the plan."""

    before: GenerationLine
    after: GenerationLine
    declared: tuple[Difference, ...]
    decided: PlanDiff


class ListedUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user with what they own; `is_owner`: of the UVN."""

    email: str
    name: str | None
    is_owner: bool
    excluded: bool
    cells: tuple[str, ...]
    particles: tuple[str, ...]


ShownUser = _with(
    "ShownUser", ListedUser, "A user with what they own; `is_owner`: of the UVN.", has_password=bool
)
_DECIDED: Json = {
    "node4": str | UnsetType,
    "node6": str | UnsetType,
    "asn": int | UnsetType,
    "serves_particles": bool | UnsetType,
}
_DECIDED_DOC = (
    "A cell as declared, with its addresses as a node and its number as an autonomous system;"
    " a banned cell lacks these."
)
ListedCell = _with(
    "ListedCell", Cell, f"{_DECIDED_DOC} `links` counts its links.", **_DECIDED, links=int
)


class LinkEndDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One end of a link. `port` is None where the cell dials out; `slot` numbers its interface."""

    cell: str
    slot: int
    address4: str
    address6: str
    port: int | None


class CellLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link of a cell, its own end first."""

    slot: int
    local: LinkEndDocument
    remote: LinkEndDocument


class ForwardedPort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A UDP port that has to reach a cell, and what sends to it."""

    port: int
    sender: str = msgspec.field(name="from")


ShownCell = _with(
    "ShownCell",
    Cell,
    f"{_DECIDED_DOC} `package` is the path of its package.",
    **_DECIDED,
    package=str,
    ports=tuple[ForwardedPort, ...],
    links=tuple[CellLink, ...],
)
_HAS: Json = {
    key: kind | UnsetType
    for key, kind in get_type_hints(PlannedParticle).items()
    if key not in Particle.__struct_fields__
}
ListedParticle = _with(
    "ListedParticle",
    Particle,
    "A particle as declared, with its addresses; a banned one lacks these.",
    **_HAS,
)


class ServingCell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell that a particle can connect to, by its `endpoint` and UDP `port`."""

    name: str
    endpoint: str
    port: int


ShownParticle = _with(
    "ShownParticle",
    Particle,
    "A particle with its addresses, where it can connect, and the path of its package, None if it"
    " has none or it is postponed.",
    **_HAS,
    package=str | None,
    cells=tuple[ServingCell, ...],
)


class LinkDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link between two cells."""

    number: int
    name: str
    a: LinkEndDocument
    b: LinkEndDocument


class AuthorityDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The certificate that browsers trust for web pages, as PEM, and its SHA-256 with colons."""

    certificate: str
    sha256: str


class KeyDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret that the registry keeps: `of` is what it is for, `epoch` how often it was replaced.

    Public halves alone have a fingerprint.
    """

    id: str
    kind: str
    of: str
    epoch: int
    public_key: str | None
    fingerprint: str | None


class UvnSummary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The UVN in figures, and the key that its packages are signed with."""

    name: str
    owner: str
    address: str | None
    identity: str
    generation: int
    changed: str
    registry_key: str
    fingerprint: str
    earlier_fingerprints: tuple[str, ...]
    users: int
    cells: int
    particles: int
    links: int
    strategy: str
    particle_packages_postponed: int
    pools: Pools


VerifyDocument = _with(
    "VerifyDocument",
    VerificationDocument,
    "A verification of one generation, and what it does not model. `warnings` are of public"
    " addresses that other sites may not be able to connect to.",
    generation=int,
    assumptions=tuple[Assumption, ...],
    warnings=tuple[str, ...],
)
CellDocument = _with(
    "CellDocument",
    CellView,
    f"{(CellView.__doc__ or '').rstrip()}\n\nIt is `consistent` if it runs the package that it"
    " should, and `routed` if it reaches every LAN.",
    consistent=bool,
    routed=bool,
)
_VIEW: Json = {
    "consistent": bool,
    "routed": bool,
    "obstructed": bool,
    "cells": tuple[CellDocument, ...],  # type: ignore[valid-type]
}


class NotReleased(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Generations that the cells do not have before `uno sync`, and what these revoke."""

    generations: tuple[int, ...]
    revoked: tuple[str, ...]


_VIEW_DOC = (UvnView.__doc__ or "").rstrip()
StatusDocument = _with("StatusDocument", UvnView, _VIEW_DOC, **_VIEW, not_released=NotReleased)
SyncDocument = _with(
    "SyncDocument",
    UvnView,
    "The end of a roll-out: whether it is `done`, what is `missing`, and the last view of the UVN.",
    **_VIEW,
    done=bool,
    missing=tuple[str, ...],
)


DiagnosisDocument = _with(
    "DiagnosisDocument", Diagnosis, f"{Diagnosis.__doc__} `state` is the worst.", state=CheckState
)

ExplanationDocument = _with(
    "ExplanationDocument",
    Explanation,
    "Both directions between two places; whether they reach each other, None if unknown.",
    reaches=bool | None,
)


class HostLan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LAN of the cell, and the interface of this host that is in it."""

    network: str
    interface: str


class HostCollision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network of this host that overlaps `prefix`, a LAN of `cell`, or a pool if that is None."""

    interface: str
    network: str
    prefix: str
    cell: str | None


class HostLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link at this host, with the states of its BGP and BFD sessions, None where there is none.

    `endpoint`, `received` and `sent` (octets) are WireGuard's, and so is `last_handshake`, in
    seconds since the epoch, 0 for none.
    """

    interface: str
    neighbor: str
    endpoint: str | None
    last_handshake: int
    received: int
    sent: int
    bgp: str | None
    prefixes: int
    bfd: str | None


class HostStatus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a cell's host.

    `agent`: whether one answers; `undone` is the change that was rolled back last, until one is
    confirmed; `pending` are actions that `uno service up` would take; `obstacles` are what is in
    the way of packets; `forwards` maps each LAN to whether packets get through in both directions,
    and `unproved` is why that was not probed.
    """

    uvn: str
    cell: str
    generation: int
    running: bool
    healthy: bool
    agent: bool
    wireguard: str
    undone: UndonePackage | None
    pending: tuple[str, ...]
    lans: tuple[HostLan, ...]
    obstacles: tuple[str, ...]
    forwards: dict[str, bool]
    unproved: str
    missing_lans: tuple[str, ...]
    collisions: tuple[HostCollision, ...]
    links: tuple[HostLink, ...]


class ProblemPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int


class ProblemDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong, what to do about it, and in which option or place of a file it is."""

    severity: str
    what: str
    hint: str | UnsetType = UNSET
    option: str | UnsetType = UNSET
    where: ProblemPlace | UnsetType = UNSET
    also: tuple[ProblemPlace, ...] | UnsetType = UNSET


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exit status of a command that failed, and every problem."""

    status: int
    problems: tuple[ProblemDocument, ...]


class ErrorDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What any command prints if it fails."""

    error: Failure


_CHANGES = (
    "define uvn", "define cell", "define particle", "define user",
    "redeploy", "apply", "rollback", "plan",
    "ban cell", "ban particle", "ban user", "unban cell", "unban particle", "unban user",
    "delete cell", "delete particle", "delete user",
    "rekey uvn", "rekey cell", "rekey particle", "rekey backbone", "rekey registry",
)  # fmt: skip
# What each command prints. `config -Q` prints a part of it.
DOCUMENTS: dict[str, Any] = {
    **dict.fromkeys(_CHANGES, ChangeDocument),
    "config uvn": UvnDefinition,
    "config cell": Cell,
    "config particle": Particle,
    "config user": UserDefinition,
    "verify": VerifyDocument,
    "history": tuple[GenerationLine, ...],
    "log": tuple[GenerationChanges, ...],  # type: ignore[valid-type]
    "diff": GenerationDiff,
    "list users": tuple[ListedUser, ...],
    "list cells": tuple[ListedCell, ...],  # type: ignore[valid-type]
    "list particles": tuple[ListedParticle, ...],  # type: ignore[valid-type]
    "list links": tuple[LinkDocument, ...],
    "list keys": tuple[KeyDocument, ...],
    "list generations": tuple[GenerationLine, ...],
    "show uvn": UvnSummary,
    "show cell": ShownCell,
    "show particle": ShownParticle,
    "show user": ShownUser,
    "show link": LinkDocument,
    "show generation": GenerationDocument,
    "show plan": Plan,
    "show backbone": tuple[LinkDocument, ...],
    "show ca": AuthorityDocument,
    "status": StatusDocument,
    "sync": SyncDocument,
    "service status": HostStatus,
    "doctor": DiagnosisDocument,
    "explain": ExplanationDocument,
}


@cache
def printed(kind: Any) -> Any:
    """Return `kind` with every key required and no other allowed, since all are printed always."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _without_defaults(kind)
    arguments = tuple(printed(each) if each is not ... else each for each in get_args(kind))
    if not arguments:
        return kind
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return reduce(or_, arguments)
    return get_origin(kind)[arguments]


def _without_defaults(kind: type[Struct]) -> type[Struct]:
    hints = get_type_hints(kind)
    return defstruct(
        kind.__name__,
        [
            (
                each.name,
                printed(hints[each.name]),
                msgspec.field(
                    name=each.encode_name,
                    **({"default": UNSET} if each.default is UNSET else {}),
                ),
            )
            for each in msgspec.structs.fields(kind)
        ],
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
        module=__name__,
        namespace={"__doc__": kind.__doc__},
    )


def schema(command: str) -> Json:
    """Return the JSON Schema of what `command` prints. Raises KeyError for one without JSON."""
    found = msgspec.json.schema(printed(DOCUMENTS[command]), schema_hook=_schema_of_text)
    for each in found["$defs"].values():
        # A later uno of the same version may print more.
        each.pop("additionalProperties", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def components(kinds: Iterable[Any]) -> tuple[tuple[Json, ...], dict[str, Json]]:
    """Return the schemas of `kinds`, and those of the types that they refer to, by name."""
    return msgspec.json.schema_components(
        tuple(map(printed, kinds)), schema_hook=_schema_of_text, ref_template="{name}"
    )


def _schema_of_text(_kind: type) -> Json:
    """Return the schema of an address or network: both are text."""
    return {"type": "string"}
