"""nftables rulesets of other firewalls, as `nft -j` prints them (libnftables-json(5))."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Statement = dict[str, Any]
Rule = tuple[Statement, ...]

ACCEPT: Statement = {"accept": None}
DROP: Statement = {"drop": None}
RETURN: Statement = {"return": None}
REJECT: Statement = {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
ESTABLISHED: Statement = {
    "match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}
}


def meta(key: str, right: Any, op: str = "==") -> Statement:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def payload(protocol: str, name: str, right: Any, op: str = "==") -> Statement:
    left = {"payload": {"protocol": protocol, "field": name}}
    return {"match": {"op": op, "left": left, "right": right}}


def prefix(text: str) -> Statement:
    address, length = text.split("/")
    return {"prefix": {"addr": address, "len": int(length)}}


def jump(chain: str, kind: str = "jump") -> Statement:
    return {kind: {"target": chain}}


def chain(
    name: str,
    *rules: Rule,
    hook: str = "",
    policy: str = "accept",
    family: str = "inet",
    table: str = "firewalld",
    **more: Any,
) -> list[dict[str, Any]]:
    """Return a chain with its rules, whose handles count from 1."""
    where = {"family": family, "table": table}
    base = {"type": "filter", "hook": hook, "prio": 10, "policy": policy} if hook else {}
    listed = [
        {"rule": {**where, "chain": name, "handle": number, "expr": list(rule)}}
        for number, rule in enumerate(rules, start=1)
    ]
    return [{"chain": {**where, "name": name, "handle": 1, **base, **more}}, *listed]


def ruleset(*chains: Iterable[dict[str, Any]]) -> str:
    return json.dumps({"nftables": [each for one in chains for each in one]})


FIREWALLD = ruleset(
    chain("filter_FORWARD", (ESTABLISHED, ACCEPT), (REJECT,), hook="forward"),
)
"""The shape of firewalld's: the policy accepts, and the last rule rejects."""
