"""Routing tables that a host looks up before its main table. Pure.

A VPN may have its routes in a table of its own, with a rule for every packet before that of the
main table: Tailscale has table 52, wg-quick one that gets what has no other route. uno's routes are
in the main table. Source: ip-rule(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

LOCAL_TABLE, MAIN_TABLE = 255, 254


class PolicyRule(Struct, frozen=True, kw_only=True):
    """A rule. `table` is what it looks up, None if it does something else.

    `is_selective`: it is for some packets only, by source, interface, mark, port or user.
    `suppressed`: routes with a prefix of at most that length are not used; -1 for none.
    """

    version: int
    priority: int
    table: int | None
    is_selective: bool = False
    suppressed: int = -1


def tables_before_main(rules: Iterable[PolicyRule], *, version: int) -> tuple[int, ...]:
    """Return the tables that every packet of an IP version is looked up in before the main one.

    A rule for the main table without its default route counts: uno's routes are found by it.
    """
    found: dict[int, None] = {}
    for rule in sorted(rules, key=lambda each: each.priority):
        if rule.version != version or rule.is_selective or rule.table in {None, LOCAL_TABLE}:
            continue
        if rule.table == MAIN_TABLE:
            break
        if rule.suppressed < 0 and rule.table is not None:
            found[rule.table] = None
    return tuple(found)
