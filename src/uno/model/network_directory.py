"""The public facts of the registry: what belongs to whom, where it is, what is planned.

The registry signs them as one statement (`messages.Kind.DIRECTORY`), which cells flood and keep. No
cell decides by it: it is for people. It has no secret, and no hash of a password.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from msgspec.structs import replace

from uno.model.codec import encode
from uno.model.net import Network

MAX_SIZE = 1 << 20
"""The most octets of the statement as JSON: rows of tables above it are counted, and left out."""

_MAX_TEXT = 200

# What is left out first.
_TABLES = ("risks", "particles", "links", "users")


class DirectoryUser(Struct, frozen=True, array_like=True):
    """A user: `excluded` ones are banned. An array in JSON, as are all rows of tables."""

    email: str
    name: str = ""
    excluded: bool = False


class DirectoryCell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell. `owner` is an e-mail address; a port is None where the cell does not listen.

    `httpd_port` is that of its web page. A `banned` cell is in no roster.
    """

    id: int
    name: str
    owner: str
    location: str = ""
    endpoint: str | None = None
    lans: tuple[Network, ...] = ()
    root_port: int | None = None
    particles_port: int | None = None
    httpd_port: int = 443
    banned: bool = False


class DirectoryLink(Struct, frozen=True, array_like=True):
    """A link between the cells `a` and `b`, `a < b`; as `model.plan.Link` has it.

    The addresses are those of `a`.
    """

    number: int
    a: int
    b: int
    slot_a: int
    slot_b: int
    port_a: int | None = None
    port_b: int | None = None
    address4: IPv4Address | None = None
    address6: IPv6Address | None = None

    def addresses(self, cell: int) -> tuple[str, str]:
        """Return the addresses of an end as text, empty if they are not stated.

        Those of `b` are the next ones (RFC 3021, RFC 6164).
        """
        if self.address4 is None or self.address6 is None:
            return "", ""
        offset = 0 if cell == self.a else 1
        return str(self.address4 + offset), str(self.address6 + offset)


class DirectoryParticle(Struct, frozen=True, array_like=True):
    """A particle. `owner` is an e-mail address; a banned one has no addresses."""

    id: int
    name: str
    owner: str
    banned: bool = False
    address4: IPv4Address | None = None
    address6: IPv6Address | None = None


class Risk(Struct, frozen=True, array_like=True):
    """What the loss of one link, cell or site would cost, as `planning.survivability` has it.

    `kind` is `nothing`, `link`, `cell` or `site`; `failed` are ids of cells; `cut_off` are groups
    of cells that lose the others, `lan_pairs` the pairs of LANs that lose each other.
    """

    kind: str
    failed: tuple[int, ...]
    cut_off: tuple[tuple[int, ...], ...]
    lan_pairs: int = 0
    particle_paths: int = 0


class Directory(Struct, frozen=True, kw_only=True):
    """The public facts of `generation`.

    `owner` is the e-mail address of the UVN's owner, `address` the registry's public one.
    `settings` maps the names of the specification to values as text. `interface` is the pattern of
    the names of links' interfaces. `ring` is the circular order of the public cells. The counts are
    of rows for which there was no room.
    """

    generation: int
    uvn: str
    owner: str
    address: str | None = None
    strategy: str = ""
    interface: str = ""
    ring: tuple[int, ...] = ()
    settings: dict[str, str] = {}
    users: tuple[DirectoryUser, ...] = ()
    cells: tuple[DirectoryCell, ...] = ()
    links: tuple[DirectoryLink, ...] = ()
    particles: tuple[DirectoryParticle, ...] = ()
    risks: tuple[Risk, ...] = ()
    users_left_out: int = 0
    links_left_out: int = 0
    particles_left_out: int = 0
    risks_left_out: int = 0

    def cell(self, id_: int) -> DirectoryCell | None:
        """Return the cell with this id, None if there is none."""
        return next((each for each in self.cells if each.id == id_), None)

    def user(self, email: str) -> DirectoryUser | None:
        """Return the user with this e-mail address, None if there is none."""
        return next((each for each in self.users if each.email == email), None)


def bounded(whole: Directory) -> Directory:
    """Return `whole` in at most `MAX_SIZE` octets, with what is left out counted.

    Texts are cut first, then rows from the end of the longest tables.
    """
    found = _with_short_texts(whole)
    for table in _TABLES:
        while len(encode(found)) > MAX_SIZE and getattr(found, table):
            rows = getattr(found, table)
            kept = rows[: len(rows) // 2]
            left_out = getattr(found, f"{table}_left_out") + len(rows) - len(kept)
            found = replace(found, **{table: kept, f"{table}_left_out": left_out})
    return found


def _with_short_texts(whole: Directory) -> Directory:
    return replace(
        whole,
        users=tuple(replace(user, name=user.name[:_MAX_TEXT]) for user in whole.users),
        cells=tuple(replace(cell, location=cell.location[:_MAX_TEXT]) for cell in whole.cells),
        settings={key: value[:_MAX_TEXT] for key, value in whole.settings.items()},
    )
