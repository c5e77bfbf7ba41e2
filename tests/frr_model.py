"""A model of FRR's configuration mode, for the commands that uno gives it, and of its filters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product

from uno.host.routing_frr.frr_diff import Config, Place, parse
from uno.model.net import Network
from uno.model.plan import BackbonePeer, Member
from uno.model.routing_policy import originated


class FrrModel:
    """A daemon's configuration, changed by commands as FRR changes it."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, list[str]] = {k: list(v) for k, v in parse(text).items()}
        self.place: Place = ()

    @property
    def config(self) -> Config:
        return {place: tuple(sorted(lines)) for place, lines in self.lines.items()}

    def do(self, commands: tuple[str, ...]) -> None:
        for command in commands:
            self._do(command)
        assert self.place == ()

    def _do(self, command: str) -> None:
        if command in {"exit", "exit-address-family"}:
            self.place = self.place[:-1]
        elif command.startswith("no ") and not self._turns_off(command):
            self._remove(command.removeprefix("no "))
        elif parse(_within(self.place, command)).keys() - parse(_within(self.place, "")).keys():
            self.place = (*self.place, command)
            self.lines.setdefault(self.place, [])
        else:
            self._add(command)

    @staticmethod
    def _turns_off(command: str) -> bool:
        return command == "no bgp network import-check"

    def _remove(self, what: str) -> None:
        if what.startswith("neighbor ") and len(what.split()) == 2:
            for place, lines in self.lines.items():
                self.lines[place] = [
                    line for line in lines if not f"{line} ".startswith(f"{what} ")
                ]
        elif (*self.place, what) in self.lines:
            del self.lines[(*self.place, what)]
        elif what == "bgp network import-check" or f"no {what}" in self.lines[self.place]:
            self.lines[self.place].remove(f"no {what}")
        else:
            self.lines[self.place].remove(what)

    def _add(self, line: str) -> None:
        if line == "bgp network import-check":
            self.lines[self.place].remove(f"no {line}")
            return
        head, _, rest = line.partition(" seq ")
        reported = rest.partition(" ")[2]
        same = [each for each in self.lines[self.place] if _kind(each) == _kind(line)]
        if rest:
            # An entry that is there under another number is ignored.
            others = (each for each in self.lines[self.place] if each.startswith(f"{head} seq "))
            assert not any(each.endswith(f" {reported}") for each in others if each not in same)
        self.lines[self.place] = [each for each in self.lines[self.place] if each not in same]
        self.lines[self.place].append(line)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a route-map: it permits or denies what its conditions match."""

    permits: bool
    conditions: tuple[tuple[str, str], ...]
    calls: str | None


class ImportFilters:
    """What bgpd imports, by its configuration: lib/routemap.c, lib/filter.c, bgpd/bgp_filter.c.

    A path is text as bgpd has it: AS numbers with blanks between, the neighbour's first.
    """

    def __init__(self, config: Config) -> None:
        self._lists: dict[str, list[tuple[int, bool, str]]] = {}
        self._maps: dict[str, list[tuple[int, _Step]]] = {}
        self._cache: dict[tuple[str, str], bool] = {}
        for line in config[()]:
            if found := _ENTRY.fullmatch(line):
                kind, name, number, verdict, rest = found.groups()
                its = self._lists.setdefault(f"{kind} {name}", [])
                its.append((int(number), verdict == "permit", rest))
        for place, lines in config.items():
            if place and place[0].startswith(_IMPORT_MAPS):
                _, name, verdict, number = place[0].split()
                self._maps.setdefault(name, []).append((int(number), _step(verdict, lines)))
        for each in self._lists.values():
            each.sort()
        self._prefixes = {
            name: {rest for _, permits, rest in entries if permits}
            for name, entries in self._lists.items()
        }
        for each in self._maps.values():
            each.sort(key=lambda item: item[0])

    def accepts(self, interface: str, prefix: Network, path: str) -> bool:
        """Whether the filter of a link lets a route in."""
        return self._permits(f"IMPORT-{interface}-V{prefix.version}", str(prefix), path)

    def lets_through(self, interface: str, path: str) -> bool:
        """Whether the filter of a link lets a path in, whatever the prefix."""
        both = {self._permits(f"IMPORT-{interface}-V{version}", None, path) for version in (4, 6)}
        assert len(both) == 1
        return both == {True}

    def owns(self, prefix: Network, path: str) -> bool:
        """Whether a path's origin may have a prefix."""
        return self._permits(f"MEMBERS-V{prefix.version}", str(prefix), path)

    def _permits(self, name: str, prefix: str | None, path: str) -> bool:
        for _, step in self._maps.get(name, ()):
            if all(self._matches(*each, prefix, path) for each in step.conditions):
                if prefix is None and step.calls and step.calls.startswith("MEMBERS-"):
                    return step.permits
                if step.permits and step.calls:
                    return self._permits(step.calls, prefix, path)
                return step.permits
        return False

    def _matches(self, kind: str, name: str, prefix: str | None, path: str) -> bool:
        if kind == "bgp as-path access-list":
            if (name, path) not in self._cache:
                self._cache[name, path] = self._path_matches(name, path)
            return self._cache[name, path]
        return prefix in self._prefixes.get(f"{kind} {name}", ())

    def _path_matches(self, name: str, path: str) -> bool:
        """Return the verdict of the first entry that matches, or else no."""
        for _, permits, expression in self._lists.get(f"bgp as-path access-list {name}", ()):
            if _compiled(expression).search(path):
                return permits
        return False


_IMPORT_MAPS = ("route-map IMPORT-", "route-map PATHS-", "route-map MEMBERS-")
_ENTRY = re.compile(
    r"(bgp as-path access-list|ip prefix-list|ipv6 prefix-list) (\S+) seq (\d+) (permit|deny) (.*)"
)
_CONDITIONS = {
    "match as-path": "bgp as-path access-list",
    "match ip address prefix-list": "ip prefix-list",
    "match ipv6 address prefix-list": "ipv6 prefix-list",
}


def _step(verdict: str, lines: Iterable[str]) -> _Step:
    conditions, calls = [], None
    for line in lines:
        what, _, name = line.rpartition(" ")
        if line.startswith("match "):
            conditions.append((_CONDITIONS[what], name))
        elif what == "call":
            calls = name
        else:
            assert line.startswith("set "), line
    return _Step(verdict == "permit", tuple(conditions), calls)


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    # In FRR's expressions _ is a boundary between numbers; what else is used here is in Python's.
    return re.compile(expression.replace("_", r"(?:^|[ ,{}()]|$)"))


def let_through(
    config: Config, links: Iterable[BackbonePeer], paths: Iterable[str]
) -> set[tuple[str, str]]:
    """Return which links let in which paths."""
    filters = ImportFilters(config)
    return {
        (link.interface, path)
        for link, path in product(links, paths)
        if filters.lets_through(link.interface, path)
    }


def owned(config: Config, members: tuple[Member, ...]) -> set[tuple[str, int]]:
    """Return the prefixes that are let in, with the cells that they are let in from."""
    filters = ImportFilters(config)
    return {
        (str(prefix), origin.id)
        for origin, owner in product(members, members)
        for prefix in originated(owner)
        if filters.owns(prefix, str(origin.asn))
    }


def _kind(line: str) -> str:
    words = line.split()
    if " seq " in line:
        head, _, rest = line.partition(" seq ")
        return f"{head} {rest.partition(' ')[0]}"
    if words[0] in {"match", "set"} or line.startswith(("timers bgp", "bgp graceful-restart rest")):
        return " ".join(words[: 4 if "next-hop" in words else 3 if words[0] == "bgp" else 2])
    if words[0] == "neighbor" and words[2] in {"bfd", "description", "timers", "maximum-prefix"}:
        return " ".join(words[: 4 if words[3:4] in (["connect"], ["profile"]) else 3])
    if words[0] == "neighbor" and words[2] == "route-map":
        return f"{words[1]} route-map {words[4]}"
    if words[0] in {"profile", "detect-multiplier", "receive-interval", "transmit-interval"}:
        return words[0]
    return line


def _within(place: Place, line: str) -> str:
    return "\n".join([*place, line])
