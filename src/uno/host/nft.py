"""uno's nftables tables: put in place in one transaction, looked at, removed. Source: nft(8).

A cell has one, and a registry another: both may be on one host.
"""

from __future__ import annotations

import socket
import struct

from uno.host import netlink
from uno.host.command import run

FAMILY = "inet"

# linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
_NETFILTER = 12
_SUBSYSTEM, _GETGEN = 10, 16
_HEADER = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
_GENERATION = 1


def replace_table(table: str, ruleset: str | None) -> None:
    """Put `ruleset` in place of the table of this name; None removes it. All or nothing."""
    name = f"{FAMILY} {table}"
    # Adding an empty table first makes the deletion work whether or not there was one.
    clear = f"table {name}\ndelete table {name}\n"
    run(["nft", "-f", "-"], stdin=clear + (ruleset or ""))


def listing(table: str) -> str | None:
    """Return the table as nft lists it without counters, or None where there is none."""
    done = run(["nft", "-s", "list", "table", FAMILY, table], check=False)
    return done.stdout if done.status == 0 else None


def generation() -> bytes:
    """Return the number of the ruleset: every change of any table makes another one."""
    said = netlink.answered(_SUBSYSTEM << 8 | _GETGEN, _HEADER, family=_NETFILTER)
    return netlink.attributes(said.body, len(_HEADER))[_GENERATION]
