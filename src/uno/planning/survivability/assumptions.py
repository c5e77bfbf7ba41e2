"""What `uno verify` takes for granted, and so does not predict."""

from __future__ import annotations

from msgspec import Struct


class Assumption(Struct, frozen=True, kw_only=True):
    """Something that is not modelled: a name for programs, and sentences for people."""

    name: str
    what: str


ASSUMPTIONS = (
    Assumption(
        name="installed-packages",
        what="Packages that are not installed: every cell runs this generation, with all its LANs.",
    ),
    Assumption(
        name="forwarded-ports",
        what="Ports that a router does not forward, and firewalls on the way: every link works "
        "until it fails. A link between two cells at one address needs NAT loopback.",
    ),
    Assumption(
        name="public-addresses",
        what="Public addresses that other sites cannot connect to, private ones or IPv6 where a "
        "site has none: they are warned of, and their links count as working.",
    ),
    Assumption(
        name="lan-routes",
        what="Routers of LANs without routes to the other LANs, and firewalls of their hosts.",
    ),
    Assumption(
        name="packet-size",
        what="Packets too large for a link while small ones pass: such a link counts as working, "
        "for BGP too.",
    ),
    Assumption(
        name="common-causes",
        what="What cells at different addresses have in common: power, a provider, a cable, or "
        "one address under two names. Only cells at the same address fail together.",
    ),
    Assumption(
        name="failures-at-once",
        what="Failures at the same time, but for cells at one address, and with --depth 2 two "
        "links.",
    ),
    Assumption(
        name="convergence",
        what="The seconds until BGP uses the next path, and the longer ones when a cell's routing "
        "dies just before its links and its neighbours have no agent.",
    ),
    Assumption(
        name="registry",
        what="The loss of the registry: LANs reach each other without it, and changes wait.",
    ),
    Assumption(
        name="particles",
        what="Particles that change cells by hand: those of a failed cell count as lost with it.",
    ),
)
