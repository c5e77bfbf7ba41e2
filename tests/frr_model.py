"""A model of FRR's configuration mode, for the commands that uno gives it, and of its filters."""

from __future__ import annotations

import re
from itertools import product

from uno.host.routing_frr.frr_diff import Config, Place, parse
from uno.model.net import Network
from uno.model.plan import BackbonePeer, Member
from uno.model.routing_policy import originated

# What a filter is asked: through which interface, which prefix, of which cell.
Question = tuple[str, str, int]


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


def accepted(
    config: Config, links: tuple[BackbonePeer, ...], members: tuple[Member, ...]
) -> set[Question]:
    """Return what comes in through links, of all that members could announce there."""
    return {
        (link.interface, prefix, origin)
        for prefix, origin in owned(config, members)
        for link in links
        if (link.interface, origin) in let_through(config, (link,), members)
    }


def owned(config: Config, members: tuple[Member, ...]) -> set[tuple[str, int]]:
    """Return the prefixes that are let in, with the cells that they are let in from."""
    return {
        (str(prefix), origin.id)
        for origin, owner in product(members, members)
        for prefix in originated(owner)
        if _is_owned(config, prefix, origin)
    }


def let_through(
    config: Config, links: tuple[BackbonePeer, ...], members: tuple[Member, ...]
) -> set[tuple[str, int]]:
    """Return which links let in what comes from which cells."""
    return {
        (link.interface, origin.id)
        for link, origin in product(links, members)
        if _lets_through(config, link, origin)
    }


def _lets_through(config: Config, link: BackbonePeer, origin: Member) -> bool:
    for version in (4, 6):
        step = config.get((f"route-map IMPORT-{link.interface}-V{version} permit 10",), ())
        # A step that lacks one of these would let more in.
        assert f"match as-path ORIGINS-{link.interface}" in step
        assert f"call MEMBERS-V{version}" in step
    return _matches(config, f"ORIGINS-{link.interface}", origin.asn)


def _is_owned(config: Config, prefix: Network, origin: Member) -> bool:
    version = prefix.version
    family = "ip" if version == 4 else "ipv6"
    for place, lines in config.items():
        if place and place[0].startswith(f"route-map MEMBERS-V{version} permit "):
            assert len(lines) == 2
            (list_,) = (line.split()[-1] for line in lines if "prefix-list" in line)
            (path,) = (line.split()[-1] for line in lines if "as-path" in line)
            entry = re.compile(
                rf"{family} prefix-list {list_} seq \d+ permit {re.escape(str(prefix))}"
            )
            listed = any(entry.fullmatch(line) for line in config[()])
            if listed and _matches(config, path, origin.asn):
                return True
    return False


def _matches(config: Config, name: str, asn: int) -> bool:
    pattern = re.compile(rf"bgp as-path access-list {name} seq (\d+) (permit|deny) (.*)")
    entries = sorted(
        (int(found[1]), found[2], found[3]) for line in config[()] if (found := pattern.match(line))
    )
    for _, verdict, path in entries:
        if path in {".*", f"_{asn}$"}:
            return verdict == "permit"
    return False


def _kind(line: str) -> str:
    words = line.split()
    if " seq " in line:
        head, _, rest = line.partition(" seq ")
        return f"{head} {rest.partition(' ')[0]}"
    if words[0] in {"match", "set"} or line.startswith(("timers bgp", "bgp graceful-restart rest")):
        return " ".join(words[:2] if words[0] != "bgp" else words[:3])
    if words[0] == "neighbor" and words[2] in {"description", "timers"}:
        return " ".join(words[:3])
    if words[0] == "neighbor" and words[2] == "route-map":
        return f"{words[1]} route-map {words[4]}"
    if words[0] in {"profile", "detect-multiplier", "receive-interval", "transmit-interval"}:
        return words[0]
    return line


def _within(place: Place, line: str) -> str:
    return "\n".join([*place, line])
