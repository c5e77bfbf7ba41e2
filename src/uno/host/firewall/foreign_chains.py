"""Forward chains of other firewalls: docker's and ufw's.

Both set the policy of iptables' FORWARD chain to DROP, which drops what uno's own table accepts,
since a packet passes every table. Docker keeps a chain for rules of others, DOCKER-USER (its
manual, "Packet filtering and firewalls"); elsewhere the rules go to the top of FORWARD itself. A
comment marks uno's own rules. Source: iptables(8), iptables-restore(8).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from uno.host.command import find, run
from uno.host.firewall.iptables_states import need_states, with_states
from uno.host.firewall.nft import FAMILY
from uno.ports.host import ForeignForwardChain
from uno.reconcile.nft_evaluation import without_tables
from uno.render.nftables import PROBE_TABLE, REGISTRY_TABLE, TABLE

COMMENT = "uno"
OURS = {(FAMILY, each) for each in (TABLE, REGISTRY_TABLE, PROBE_TABLE)}
PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
CHAINS = ("DOCKER-USER", "FORWARD")


def observe() -> tuple[ForeignForwardChain, ...]:
    """Return the chains whose policy is drop, and those that have rules of uno's."""
    chains = _chains()
    names = {(each["family"], each["table"], each["name"]) for each in chains}
    found = []
    for family in _usable():
        present = [chain for chain in CHAINS if (family, "filter", chain) in names]
        accepted = {chain: _accepted(family, chain) for chain in present}
        closed = any(_drops(each) and _is(each, family) for each in chains)
        found += [
            ForeignForwardChain(family=family, name=chain, accept_interfaces=accepted[chain])
            for chain in present
            if accepted[chain] or (closed and chain == present[0])
        ]
    return tuple(found)


def ruleset() -> str:
    """Return the rules of others as JSON, without the elements of their sets.

    Empty where there are none, or where nft fails: of what it cannot print nothing is known.
    """
    done = run(["nft", "-j", "-s", "-t", "list", "ruleset"], check=False)
    if done.status != 0:
        return ""
    others = without_tables(done.stdout, OURS)
    return _with_states_of_iptables(others) if '"xt"' in others else others


def _with_states_of_iptables(text: str) -> str:
    objects = json.loads(text)["nftables"]
    for family in _usable():
        if need_states(objects, family):
            saved = run([f"{PROGRAMS[family]}-save"], check=False)
            objects = with_states(objects, family, saved.stdout)
    return json.dumps({"nftables": objects})


def set_accept_rules(chain: ForeignForwardChain) -> None:
    """Replace uno's rules in a chain in one transaction."""
    lines = ["*filter"]
    lines += [f"-D {chain.name} {rule}" for rule in _rules(_accepted(chain.family, chain.name))]
    lines += [f"-I {chain.name} {rule}" for rule in _rules(chain.accept_interfaces)]
    lines.append("COMMIT")
    restore = [f"{PROGRAMS[chain.family]}-restore", "--noflush", "--wait"]
    run(restore, stdin="\n".join(lines) + "\n")


def _usable() -> tuple[str, ...]:
    return tuple(family for family, program in PROGRAMS.items() if find(program))


def _rules(patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        for direction in ("-i", "-o"):
            yield f"{direction} {pattern} -m comment --comment {COMMENT} -j ACCEPT"


def _accepted(family: str, chain: str) -> tuple[str, ...]:
    done = run([PROGRAMS[family], "--wait", "-S", chain], check=False)
    rules = [shlex.split(line) for line in done.stdout.splitlines()]
    patterns = {
        rule[rule.index("-i") + 1]
        for rule in rules
        if "-i" in rule and "--comment" in rule and rule[rule.index("--comment") + 1] == COMMENT
    }
    return tuple(sorted(patterns))


def _chains() -> list[dict[str, Any]]:
    listed = json.loads(run(["nft", "-j", "list", "chains"]).stdout or "{}").get("nftables", [])
    chains = [each["chain"] for each in listed if "chain" in each]
    return [each for each in chains if (each["family"], each["table"]) not in OURS]


def _drops(chain: dict[str, Any]) -> bool:
    return chain.get("hook") == "forward" and chain.get("policy") == "drop"


def _is(chain: dict[str, Any], family: str) -> bool:
    return (chain["family"], chain["table"], chain["name"]) == (family, "filter", "FORWARD")
