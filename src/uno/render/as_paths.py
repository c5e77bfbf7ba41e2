"""Regular expressions for AS paths: those that the backbone has, and those that it cannot have.

Of a path that is received from a neighbour, FRR matches the text: AS numbers with blanks between,
the neighbour's first and the origin's last, sets and confederations in brackets (RFC 4271, 4.3; RFC
5065). The AS numbers of a UVN have ten digits and differ in the last ones alone, so that an
expression needs to compare only these.

bgpd evaluates all expressions of a list for each prefix, with the C library's regexec(3). That
keeps 2 KiB for each state of an expression that any path has reached, and searches from each place
of a text unless the expression begins with `^`. So there are few expressions, each of them begins
with `^`, and none counts or remembers cells: a path that has a cell twice is not found. It is only
longer than the path without the detour, and BGP prefers that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from uno.model.plan import FIRST_ASN
from uno.model.routing_policy import Adjacency

# Digits of AS numbers that are compared: enough for the ids of all cells.
_LEAST_DIGITS = 4

# The text of an AS number with its blank.
_STEP = 11

# The largest count of an expression (RE_DUP_MAX); no BGP message has a path as long.
_LARGEST_COUNT = 32767

# Characters of one expression; FRR reads lines of 4,095 from its files.
_LONGEST = 1500


def of_members(asn: int, highest: int) -> str:
    """Return what matches paths of AS numbers up to that of the cell `highest`, with origin `asn`.

    A set or a confederation does not match (RFC 6472).
    """
    digits = _digits(highest)
    return f"^({_stem(digits)}[0-9]{{{digits}}} )*{asn}$"


def through(neighbor: int, asn: int) -> str:
    """Return what matches paths that begin with the AS number `neighbor` and end with `asn`.

    These are all such paths, so that a list that permits origins lets through what one that denies
    the others does.
    """
    rest = f" (.* )?{asn}"
    return f"^{neighbor}({rest})?$" if neighbor == asn else f"^{neighbor}{rest}$"


def from_neighbor(neighbor: int) -> str:
    """Return what matches paths that begin with the AS number `neighbor`."""
    return f"^{neighbor}( |$)"


def impossible(adjacencies: tuple[Adjacency, ...], highest: int) -> Iterator[tuple[int, str]]:
    """Yield what matches each path of members that is too long, or two of which have no link.

    Each expression comes with a number that follows from the ids of the cells that it is for: ten
    consecutive ones, unless it would be too long. It also matches what goes on from those of the
    ten that `adjacencies` does not have, so that a path through a cell that only an earlier or a
    later list knows is not let through while one list replaces the other line by line.
    """
    yield 1, f"^.{{{min(_STEP * len(adjacencies), _LARGEST_COUNT)}}}"
    digits = _digits(highest)
    for block, cells in groupby(adjacencies, key=lambda each: each.cell // 10):
        choices = {each.cell % 10: _misstep(each, digits) for each in cells}
        unknown = [f"[^{''.join(map(str, choices))}] "] if len(choices) < 10 else []
        whole = _one_of(block, digits, [*choices.values(), *unknown])
        if len(whole) <= _LONGEST:
            yield 20 * block + 10, whole
        else:
            if unknown:
                yield 20 * block + 10, _one_of(block, digits, unknown)
            for digit, choice in choices.items():
                yield 20 * block + 11 + digit, _one_of(block, digits, [choice])


def _digits(highest: int) -> int:
    return max(_LEAST_DIGITS, len(str(highest)))


def _stem(digits: int) -> str:
    return str(FIRST_ASN)[:-digits]


def _one_of(block: int, digits: int, choices: Iterable[str]) -> str:
    return f"^.*{block:0{digits - 1}}({'|'.join(choices)})"


def _misstep(cell: Adjacency, digits: int) -> str:
    """Return what matches the last digit of a cell, and then a cell that it has no link with."""
    last = f"{cell.asn % 10} "
    if not cell.followers:
        return last
    return f"{last}{_stem(digits)}({_none_of([str(asn)[-digits:] for asn in cell.followers])})"


def _none_of(numbers: list[str]) -> str:
    """Return what matches how each other number with as many digits begins."""
    firsts = sorted({number[0] for number in numbers})
    branches = [f"[^{''.join(firsts)}]"] if len(firsts) < 10 else []
    if len(numbers[0]) > 1:
        for first in firsts:
            rest = _none_of([number[1:] for number in numbers if number[0] == first])
            if rest:
                branches.append(f"{first}({rest})" if "|" in rest else first + rest)
    return "|".join(branches)
