"""uno's nftables tables: replaced in one transaction, listed, removed. Source: nft(8).

A cell has one, the registry another: both may be on one host.
"""

from __future__ import annotations

import re
import socket
import struct

from uno.host.command import run
from uno.host.netlink import rtnetlink

FAMILY = "inet"

# linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
_NETFILTER = 12
_SUBSYSTEM, _GETGEN = 10, 16
_HEADER = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
_GENERATION = 1

# The head of a set or chain in a listing: `	chain forward {`
_BLOCK = re.compile(r"^[ \t]+(\w+) ([\w-]+) \{$", re.MULTILINE)


def replace_table(table: str, ruleset: str | None) -> None:
    """Replace the table of this name by `ruleset` in one transaction; None removes it.

    An existing table keeps its chains. A table that is deleted in the transaction that creates
    another of its name drops packets that are inside it (measured on Linux 6.18: one packet in
    twenty such transactions, at some thousand packets a second).
    """
    name = f"{FAMILY} {table}"
    there = listing(table) if ruleset else None
    if ruleset and there:
        emptied = _emptied(name, there, ruleset)
        if emptied and run(["nft", "-f", "-"], stdin=emptied + ruleset, check=False).status == 0:
            return
    # Adding an empty table first makes the deletion work whether or not there was one.
    clear = f"table {name}\ndelete table {name}\n"
    run(["nft", "-f", "-"], stdin=clear + (ruleset or ""))


def listing(table: str) -> str | None:
    """Return the table as nft lists it without counters, or None where there is none."""
    done = run(["nft", "-s", "list", "table", FAMILY, table], check=False)
    return done.stdout if done.status == 0 else None


def _emptied(name: str, there: str, ruleset: str) -> str | None:
    """Return the commands that empty a table for `ruleset`; None if it cannot be emptied.

    Sets and chains whose name is in both stay, without their content.
    """
    found = _BLOCK.findall(there)
    kept = set(_BLOCK.findall(ruleset))
    if any(kind not in {"set", "chain"} for kind, _ in found):
        return None
    lines = [f"flush table {name}"]
    lines += [f"flush set {name} {each}" for kind, each in found if kind == "set"]
    lines += [f"delete {kind} {name} {each}" for kind, each in found if (kind, each) not in kept]
    return "".join(f"{line}\n" for line in lines)


def generation() -> bytes:
    """Return the ruleset's generation number, which every change of any table increments."""
    answer = rtnetlink.answered(_SUBSYSTEM << 8 | _GETGEN, _HEADER, family=_NETFILTER)
    return rtnetlink.attributes(answer.body, len(_HEADER))[_GENERATION]
