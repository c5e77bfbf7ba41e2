"""The commands that turn one configuration of uno's FRR into another. Pure.

It handles what `render.frr` writes, and changes that need not end a session that both
configurations have. frr-reload.py, which starts Python and several vtysh to compare everything,
does the rest.

At every moment a session accepts no route that neither configuration accepts, and all routes that
both accept. So a list is added before the route-map that uses it, and removed after it; and the
commands of one `Step` take effect together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

from uno.render.frr import HIDDEN

# Daemons with their texts, as in `ports.host.Routing`.
Texts: TypeAlias = tuple[tuple[str, str], ...]

# The nesting of a line: the lines that open its block, from the outermost.
Place: TypeAlias = tuple[str, ...]
Config: TypeAlias = dict[Place, tuple[str, ...]]

# Lines that open a block, at the top and within another.
_OUTER = ("route-map ", "router bgp ", "bfd")
_INNER = {"router": ("address-family ",), "bfd": ("profile ", "peer "), "route-map": ()}
_CLOSERS = frozenset({"exit", "exit-address-family", "end"})

# Lines of which a new one replaces another that begins alike.
_SINGLE = {
    "router": ("timers bgp", "bgp graceful-restart restart-time"),
    "family": ("maximum-paths",),
    "bfd": ("detect-multiplier", "receive-interval", "transmit-interval", "profile"),
    "route-map": ("match", "call", "set"),
}
_ALL_SINGLE = tuple(each for lines in _SINGLE.values() for each in lines)
_SWITCH = "no bgp network import-check"

# Settings of a neighbour that another line replaces without ending its session; of BFD only the
# profile may differ.
_REPLACED = frozenset({"bfd", "description", "timers", "route-map", "maximum-prefix"})

# Settings that `show running-config` leaves out if they have their default.
_UNSHOWN = ("bgp graceful-restart restart-time", *_SINGLE["bfd"][:3])


# The line with keepalive and hold time of a neighbour.
_OWN_TIMERS = re.compile(r"neighbor \S+ timers \d+ \d+")


class Unknown(Exception):
    """A difference that these commands cannot make."""


class Step(Struct, frozen=True):
    """Commands for one daemon in configuration mode, to be sent together."""

    daemon: str
    commands: tuple[str, ...]


def steps(old: Texts, new: Texts) -> tuple[Step, ...]:
    """Return the steps that turn the running configuration `old` into `new`. Raises `Unknown`."""
    before, after = dict(old), dict(new)
    if before.keys() != after.keys() or before["zebra"] != after["zebra"]:
        raise Unknown
    bfd = parse(before["bfdd"]), parse(after["bfdd"])
    bgp = parse(before["bgpd"]), parse(after["bgpd"])
    # First: bgpd uses the session that bfdd has for a new neighbour, if there is one.
    return (
        *(Step("bfdd", each) for each in _bfd_added(*bfd)),
        *(Step("bgpd", each) for each in _bgp(*bgp)),
        *(Step("bfdd", each) for each in _bfd_removed(*bfd)),
    )


def reverting(shown: Texts, recorded: Texts) -> tuple[Step, ...]:
    """Return the steps that turn running configurations back into those that were recorded.

    Both are as FRR shows them, with all lines, so that each line is removed or added by itself. A
    session whose settings were changed may end.
    """
    before = {name: parse(text) for name, text in recorded}
    return tuple(
        Step(name, commands)
        for name, text in shown
        for commands in _line_by_line(parse(text), before.get(name, {}))
    )


def filters_differ(old: Texts, new: Texts) -> bool:
    """Whether the import filters differ."""
    return _filters(dict(old).get("bgpd", "")) != _filters(dict(new).get("bgpd", ""))


def exports_differ(old: Texts, new: Texts) -> bool:
    """Whether prefixes are withheld from all neighbours in one alone, or other prefixes."""
    return _withheld(dict(old).get("bgpd", "")) != _withheld(dict(new).get("bgpd", ""))


def missing(shown: str, old: str, new: str) -> tuple[str, ...]:
    """Return the lines that `shown`, a running configuration, still lacks or has too many.

    Compares lines that differ between `old` and `new` alone.
    """
    there = _lines(parse(shown))
    before, after = _lines(parse(old)), _lines(parse(new))
    lacking = {each for each in after - before - there if not each[-1].startswith(_UNSHOWN)}
    return tuple(sorted(" / ".join(each) for each in lacking | (before - after) & there))


def differ(one: Texts, other: Texts) -> bool:
    """Whether two configurations have different lines; the order does not count."""
    return {name: _lines(parse(text)) for name, text in one} != {
        name: _lines(parse(text)) for name, text in other
    }


def parse(text: str) -> Config:
    """Return the lines of a configuration by their place."""
    config: dict[Place, list[str]] = {(): []}
    place: Place = ()
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("!"):
            continue
        if line in _CLOSERS:
            place = place[:-1]
            continue
        if line.startswith(_openers(place)):
            place = (*place, line)
            config.setdefault(place, [])
        else:
            config[place].append(line)
    return {place: tuple(lines) for place, lines in config.items()}


def _openers(place: Place) -> tuple[str, ...]:
    if not place:
        return _OUTER
    return _INNER[place[0].partition(" ")[0]] if len(place) == 1 else ()


def _lines(config: Config) -> set[Place]:
    inner = {(*place, line) for place, lines in config.items() for line in lines}
    return inner | config.keys()


def _filters(text: str) -> Config:
    return {
        place: lines
        for place, lines in parse(text).items()
        if not place or place[0].startswith("route-map ")
    }


def _withheld(text: str) -> frozenset[str]:
    return frozenset(line for line in parse(text)[()] if f" prefix-list {HIDDEN} " in line)


def _bfd_added(old: Config, new: Config) -> Iterator[tuple[str, ...]]:
    for place, lines in new.items():
        if len(place) == 2 and old.get(place) != lines:
            changes = _changed(old.get(place, ()), lines, _SINGLE["bfd"])
            yield ("bfd", place[1], *changes, "exit", "exit")
        elif len(place) < 2 and old.get(place, ()) != lines:
            raise Unknown


def _bfd_removed(old: Config, new: Config) -> Iterator[tuple[str, ...]]:
    for place in old:
        if place not in new:
            if len(place) < 2:
                raise Unknown
            yield ("bfd", f"no {place[1]}", "exit")


def _line_by_line(old: Config, new: Config) -> Iterator[tuple[str, ...]]:
    for place, lines in new.items():
        if commands := tuple(_changed(old.get(place, ()), lines, _ALL_SINGLE)):
            yield (*place, *commands, *["exit"] * len(place))
    for *outer, block in (place for place in old if place not in new):
        if tuple(outer) in new:
            yield (*outer, f"no {block}", *["exit"] * len(outer))


def _bgp(old: Config, new: Config) -> Iterator[tuple[str, ...]]:
    routers = [place for place in old if place and place[0].startswith("router ")]
    if routers != [place for place in new if place and place[0].startswith("router ")]:
        raise Unknown
    yield from _lists_added(old[()], new[()])
    yield from _maps_added(old, new)
    yield from _router(old, new, routers)
    for place in old:
        if place not in new:
            yield (f"no {place[0]}",)
    yield from _lists_removed(old[()], new[()])


def _lists_added(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    before, after = set(old), set(new)
    added = [line for line in new if line not in before]
    removed = [line for line in old if line not in after]
    if any(" seq " not in line for line in (*added, *removed)):
        raise Unknown
    # FRR ignores a new entry that exists under another number.
    if {_content(line) for line in added} & {_content(line) for line in removed}:
        raise Unknown
    # Entries that deny come before one that permits all; those of cells that no entry is for come
    # before the entries of other cells, which may have links with them.
    there = {_entry(line) for line in old}
    added.sort(key=lambda line: (" deny " not in line, _entry(line) in there))
    yield from ((line,) for line in added)


def _lists_removed(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    after = set(new)
    replaced = {_entry(line) for line in new}
    removed = [line for line in old if line not in after and _entry(line) not in replaced]
    yield from ((f"no {line}",) for line in sorted(removed, key=lambda line: " deny " in line))


def _content(line: str) -> tuple[str, str]:
    """Return the list of an entry and its rule, without the sequence number."""
    head, _, rest = line.partition(" seq ")
    return head, rest.partition(" ")[2]


def _entry(line: str) -> str:
    """Return list and sequence number of an entry: `ip prefix-list PREFIXES-2 seq 5`."""
    head, _, rest = line.partition(" seq ")
    return f"{head} {rest.partition(' ')[0]}"


def _maps_added(old: Config, new: Config) -> Iterator[tuple[str, ...]]:
    for place, lines in new.items():
        if place and place[0].startswith("route-map ") and old.get(place) != lines:
            yield (place[0], *_changed(old.get(place, ()), lines, _SINGLE["route-map"]), "exit")


def _router(old: Config, new: Config, routers: list[Place]) -> Iterator[tuple[str, ...]]:
    router = routers[0]
    before, after = _neighbours(old, routers), _neighbours(new, routers)
    for address, its in after.items():
        if address not in before or before[address][router][0] != its[router][0]:
            if address in before:
                yield (router[0], f"no neighbor {address}", "exit")
            # `activate` comes last, when the filters exist, and for both families at once: the
            # session would restart for another family.
            yield _entering(its, lambda _, lines: filter(_describes, lines))
            yield _entering(its, lambda _, lines: filter(_activates, lines))
        elif before[address] != its:
            yield _entering(its, _changed_neighbour(before[address]))
    own = {place: _others(new[place]) for place in routers}
    if any(_others(old[place]) != own[place] for place in routers):
        yield _entering(own, lambda place, lines: _settings(_others(old[place]), lines))
    for address in before.keys() - after.keys():
        yield (router[0], f"no neighbor {address}", "exit")


def _neighbours(config: Config, routers: list[Place]) -> dict[str, Config]:
    """Return the lines of each neighbour, by its address and their place."""
    found: dict[str, dict[Place, list[str]]] = {}
    for place in routers:
        for line in config[place]:
            verb, _, rest = line.partition(" ")
            if verb == "neighbor":
                its = found.setdefault(rest.split(" ")[0], {each: [] for each in routers})
                its[place].append(line)
    return {
        address: {place: tuple(lines) for place, lines in its.items()}
        for address, its in found.items()
    }


def _others(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if not line.startswith("neighbor "))


def _activates(line: str) -> bool:
    return line.endswith(" activate")


def _describes(line: str) -> bool:
    return not _activates(line)


def _changed_neighbour(
    before: Config,
) -> Callable[[Place, tuple[str, ...]], Iterable[str]]:
    def changed(place: Place, lines: tuple[str, ...]) -> Iterable[str]:
        # A neighbour has timers of its own where they are not those of all.
        timers, others = _own_timers(lines)
        timers_before, others_before = _own_timers(before[place])
        if len(others_before) != len(others):
            raise Unknown
        if timers != timers_before:
            yield from timers or (f"no {line}" for line in timers_before)
        for one, other in zip(others_before, others, strict=True):
            if one != other:
                settings = {line.split(" ")[2] for line in (one, other)}
                if len(settings) > 1 or not settings <= _REPLACED:
                    raise Unknown
                yield other

    return changed


def _own_timers(lines: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the line with keepalive and hold time of a neighbour, if it has one, and the rest."""
    own = tuple(line for line in lines if _OWN_TIMERS.fullmatch(line))
    return own, tuple(line for line in lines if line not in own)


def _settings(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    singles = _SINGLE["router"] + _SINGLE["family"]
    for line in (*new, *old):
        known = line.startswith(("network ", *singles)) or line == _SWITCH
        if (line in new) != (line in old) and not known:
            raise Unknown
    yield from _changed(old, new, singles)


def _entering(
    its: Config, select: Callable[[Place, tuple[str, ...]], Iterable[str]]
) -> tuple[str, ...]:
    """Return commands for the router and its address families, with those that enter these."""
    commands: list[str] = []
    for place, lines in its.items():
        inner = list(select(place, lines))
        if len(place) == 1:
            commands += [place[0], *inner]
        elif inner:
            commands += [place[1], *inner, "exit-address-family"]
    return (*commands, "exit")


def _changed(old: tuple[str, ...], new: tuple[str, ...], singles: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines that are added, then `no` for those that are removed and not replaced."""
    added = [line for line in new if line not in old]
    yield from added
    replaced = {_kind(line, singles) for line in added} - {None}
    for line in old:
        if line not in new and _kind(line, singles) not in replaced:
            yield line.removeprefix("no ") if line.startswith("no ") else f"no {line}"


def _kind(line: str, singles: tuple[str, ...]) -> str | None:
    """Return the prefix by which one line replaces another, None if it replaces none."""
    single = next((each for each in singles if line.startswith(f"{each} ")), None)
    if single in _SINGLE["route-map"]:
        return " ".join(line.split(" ")[: 1 if single == "call" else 2])
    return single
