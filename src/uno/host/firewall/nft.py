"""uno's nftables tables: replaced in one transaction, listed, removed. Source: nft(8).

A cell has one, the registry another: both may be on one host.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import struct
from functools import cache

from uno.diagnostics import ActionNeeded, UnoError
from uno.host.command import CommandFailed, run
from uno.host.netlink import rtnetlink

FAMILY = "inet"

MODULES = ("nf_tables", "nft_ct", "nft_reject_inet", "nft_chain_nat", "nft_nat", "nft_masq")
"""The kernel modules that uno's rules need; the kernel loads them by itself where it can."""

# What nft prints where the kernel does not have what a rule asks for (ENOENT, EOPNOTSUPP).
_LACKING = re.compile(
    r"Could not process rule: (No such file or directory|Operation not supported)"
)
# What the kernel answers where it has no nftables, or no netfilter at all.
_NO_NFTABLES = {errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT}

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
    try:
        run(["nft", "-f", "-"], stdin=clear + (ruleset or ""))
    except CommandFailed as error:
        if not _LACKING.search(error.stderr):
            raise
        raise ActionNeeded(
            f"this kernel lacks a part of nftables that uno needs: {error.what}",
            f"load it with `modprobe -a {' '.join(MODULES)}`, or run a kernel that has them",
        ) from error


@cache
def accepts(ruleset: str) -> bool:
    """Return whether this kernel, and its `nft`, accept these rules. Changes nothing.

    The kernel checks them and drops them again (nft(8), --check); once in each process.
    """
    return run(["nft", "--check", "-f", "-"], stdin=ruleset, check=False).status == 0


def listing(table: str) -> str | None:
    """Return the table as nft lists it without counters, or None where there is none."""
    done = run(["nft", "-s", "list", "table", FAMILY, table], check=False)
    return done.stdout if done.status == 0 else None


def dropped(table: str) -> dict[str, int]:
    """Return how many packets each chain of a table has dropped; nothing where there is none.

    Counted are rules with a counter whose verdict is to drop (libnftables-json(5)).
    """
    done = run(["nft", "-j", "-t", "list", "table", FAMILY, table], check=False)
    found: dict[str, int] = {}
    for each in json.loads(done.stdout or "{}").get("nftables", ()) if done.status == 0 else ():
        rule = each.get("rule", {})
        parts = rule.get("expr", ())
        packets = sum(part["counter"]["packets"] for part in parts if "counter" in part)
        if packets and any("drop" in part for part in parts):
            found[rule["chain"]] = found.get(rule["chain"], 0) + packets
    return found


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
    """Return the ruleset's generation number, which every change of any table increments.

    Raises `UnoError` where the kernel has no nftables.
    """
    try:
        answer = rtnetlink.answered(_SUBSYSTEM << 8 | _GETGEN, _HEADER, family=_NETFILTER)
    except UnoError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_NFTABLES:
            raise
        raise ActionNeeded(
            f"this kernel has no nftables, which uno filters with: {error.what}",
            "load it with `modprobe nf_tables`, or run a kernel that has it (CONFIG_NF_TABLES);"
            " after an update of the kernel, boot the new one",
        ) from error
    return rtnetlink.attributes(answer.body, len(_HEADER))[_GENERATION]
