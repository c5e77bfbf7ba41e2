"""The states of connections that rules of iptables match, in a ruleset as nft prints it. Pure.

nft prints the name of iptables' `conntrack` match, and not its options. `iptables-save` prints the
same rules in the same order. Sources: iptables-extensions(8), libnftables-json(5).
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_OPTIONS = {"conntrack": "--ctstate", "state": "--state"}

Objects = Sequence[Mapping[str, Any]]


def need_states(objects: Objects, family: str) -> bool:
    """Whether a rule of a family has a match whose options nft does not print."""
    return any(
        _is_of_states(statement)
        for rule in _rules(objects, family)
        for statement in rule.get("expr", ())
    )


def with_states(objects: Objects, family: str, saved: str) -> list[Mapping[str, Any]]:
    """Return a ruleset's objects, with the states that `saved`, from `iptables-save`, has.

    A chain that differs from `saved` is left as it is.
    """
    chains: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for rule in _rules(objects, family):
        chains[rule["table"], rule["chain"]].append(rule)
    written = _written(saved)
    states = {
        id(rule): words
        for place, rules in chains.items()
        if len(rules) == len(written[place])
        for rule, words in zip(rules, written[place], strict=True)
    }
    return [
        {"rule": _replaced(each["rule"], states[id(each["rule"])])}
        if id(each.get("rule")) in states
        else each
        for each in objects
    ]


def _rules(objects: Objects, family: str) -> Iterator[Mapping[str, Any]]:
    for each in objects:
        if "rule" in each and each["rule"].get("family") == family:
            yield each["rule"]


def _written(saved: str) -> dict[tuple[str, str], list[list[str]]]:
    """Return the words of each rule, by table and chain."""
    found: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            _, chain, *words = shlex.split(line)
            found[table, chain].append(words)
    return found


def _is_of_states(statement: Mapping[str, Any]) -> bool:
    extension = statement.get("xt") or {}
    return extension.get("type") == "match" and extension.get("name") in _OPTIONS


def _replaced(rule: Mapping[str, Any], words: list[str]) -> Mapping[str, Any]:
    statements = [
        (_match(words) or each) if _is_of_states(each) else each for each in rule.get("expr", ())
    ]
    return {**rule, "expr": statements}


def _match(words: list[str]) -> Mapping[str, Any] | None:
    """Return a match of connection states as nft prints its own, None for any other options."""
    # nft calls both of them `conntrack`.
    name = next((each for each in _OPTIONS if each in words), "")
    match words[words.index(name) + 1 :] if name in words else []:
        case ["!", option, states, *after]:
            operator = "!="
        case [option, states, *after]:
            operator = "in"
        case _:
            return None
    if option != _OPTIONS[name] or after[:1] not in ([], ["-m"], ["-j"], ["-g"]):
        return None
    right = [each.lower() for each in states.split(",")]
    return {"match": {"op": operator, "left": {"ct": {"key": "state"}}, "right": right}}
