"""The syntax of names, e-mail addresses, host names and interface names.

Each `*_fault` function returns None for what is well formed, and otherwise a `Fault`: what is wrong
and what to do. The caller adds the place (a line of a spec, a command-line option).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from uno.model.net import address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uno.model.net import Address

RESERVED_NAMES = frozenset(
    {
        "address", "agent", "cell", "lan", "network", "owner", "particle", "port", "registry",
        "server", "user", "uvn", "vpn",
    }
)  # fmt: skip
# One DNS label, RFC 1035 section 2.3.4.
NAME_LENGTH = 63
NAME_PATTERN = "^[a-z0-9][a-z0-9-]*$"
# RFC 1035 section 2.3.4, less the length octet and the root label.
HOST_LENGTH = 253
# RFC 5321 section 4.5.3.1: 64 octets before the @, 254 in all that fit a path's 256.
EMAIL_LENGTH = 254
LOCAL_PART_LENGTH = 64
# IFNAMSIZ of linux/if.h is 16 with the final zero; `{}` makes room for a number of four digits.
INTERFACE_PATTERN_LENGTH = 15 - 4 + len("{}")
TEXT_LENGTH = 200
# Quotation marks that text processors put in place of typed ones.
_TYPOGRAPHIC = frozenset("\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")


class Fault(NamedTuple):
    """What is wrong with a text, and what to do about it."""

    what: str
    hint: str


class Mailbox(NamedTuple):
    """A person as `EMAIL` or `NAME <EMAIL>` (a mailbox, RFC 5322 section 3.4)."""

    email: str
    name: str | None = None


def mailbox(text: str) -> Mailbox:
    """Read `EMAIL` or `NAME <EMAIL>`; `email_fault` checks whether that is an e-mail address."""
    match = re.fullmatch(r"([^<>]*)<([^<>]*)>", text.strip())
    if not match:
        return Mailbox(text.strip())
    return Mailbox(match[2].strip(), match[1].strip() or None)


def name_fault(text: str) -> Fault | None:
    """Check the name of a UVN, cell or particle."""
    if not re.fullmatch(NAME_PATTERN, text):
        hint = _quotes_hint(text) or _name_hint(text)
        return Fault(f"{quoted(text)} is not a name", hint)
    if len(text) > NAME_LENGTH:
        return Fault(
            f"the name {quoted(text)} has {len(text)} characters", f"use {NAME_LENGTH} at most"
        )
    if text in RESERVED_NAMES:
        return Fault(f"the name {quoted(text)} is a reserved word", "choose another name")
    return None


def email_fault(text: str) -> Fault | None:
    """Check an e-mail address: a dot-atom of unsurprising characters, and a host name.

    Quoted local parts and address literals are refused, and of the characters of RFC 5322 atoms
    those that a shell would read, but for the apostrophe of names.
    """
    local, at, domain = text.rpartition("@")
    if (
        not at
        or not re.fullmatch(r"[A-Za-z0-9_+%=~'-]+(\.[A-Za-z0-9_+%=~'-]+)*", local)
        or not _is_host_name(domain)
    ):
        return Fault(f"{quoted(text)} is not an e-mail address", _email_hint(text))
    if len(text) > EMAIL_LENGTH or len(local) > LOCAL_PART_LENGTH:
        return Fault(
            f"the e-mail address {quoted(text)} is too long",
            f"use {LOCAL_PART_LENGTH} characters before the @ and {EMAIL_LENGTH} in all, at most",
        )
    return None


def _email_hint(text: str) -> str:
    return _quotes_hint(text) or "write it as name@example.org"


def _quotes_hint(text: str) -> str:
    if set(text) & _TYPOGRAPHIC:
        return "its quotation marks are those of a text processor; leave them out"
    return ""


def host_fault(text: str) -> Fault | None:
    """Check a public address: a host name (RFC 1123 section 2.1) or an IP address, and no more."""
    what = f"{quoted(text)} is not a host name or IP address"
    if "://" in text or "/" in text:
        return Fault(what, "write the host name alone, without scheme or path")
    if re.fullmatch(r"[0-9.]+", text) or text.count(":") > 1:
        return _ip_fault(text, what)
    if ":" in text:
        return Fault(what, "leave the port out; ports are under settings")
    return _host_name_fault(text, what)


def same_host(text: str) -> str:
    """Return a form of a host name or address that is the same for all ways to write it."""
    try:
        return str(address(text))
    except ValueError:
        return text.lower()


def interface_fault(pattern: str) -> Fault | None:
    """Check a pattern for interface names, such as `uwg-v{}`."""
    what = f"{quoted(pattern)} is not a pattern for interface names"
    if pattern.count("{}") != 1:
        return Fault(what, "write {} once, where the number goes, as in uwg-v{}")
    if not re.fullmatch(r"[a-z][a-z0-9_.-]*", pattern.replace("{}", "")) or pattern[0] == "{":
        return Fault(what, "begin with a letter and use a-z, 0-9, _, . and - only")
    if len(pattern) > INTERFACE_PATTERN_LENGTH:
        return Fault(
            what,
            f"use {INTERFACE_PATTERN_LENGTH - 2} characters beside the {{}} at most, since Linux "
            "takes 15 with the number",
        )
    return None


def text_fault(text: str) -> Fault | None:
    """Check free text that is shown to people: one line of it, and not a book."""
    if not text.strip() or not text.isprintable():
        return Fault(f"{quoted(text)} is not a line of text", "write it without control characters")
    if len(text) > TEXT_LENGTH:
        return Fault(f"{quoted(text)} is {len(text)} characters long", f"use {TEXT_LENGTH} at most")
    # At an end: the apostrophe of a name, as in O’Brien, is one of them too.
    if {text.strip()[0], text.strip()[-1]} & _TYPOGRAPHIC:
        return Fault(f"{quoted(text)} is not a line of text", _quotes_hint(text))
    return None


def file_fault(path: str) -> Fault | None:
    """Check the path of a file on another host: an absolute one, as `..` and `~` lead elsewhere."""
    if path.startswith("/") and not path.endswith("/") and ".." not in path.split("/"):
        return None
    return Fault(f"{quoted(path)} is not the path of a file", "write it from / on, without ..")


def interface_name(pattern: str, number: int) -> str:
    """Return the interface name that `pattern`, with `{}` in it, has for `number`."""
    # Not `format`: the pattern comes from a person, and may hold other braces.
    return pattern.replace("{}", str(number))


def host_port(endpoint: str, port: int) -> str:
    """Return `endpoint` with `port` in the form of wg(8): an IPv6 address is in brackets."""
    return f"[{endpoint}]:{port}" if ":" in endpoint else f"{endpoint}:{port}"


def quoted(text: str) -> str:
    """Return `text` in quotes, shortened, with control characters escaped, fit to be printed."""
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def printable(text: str) -> str:
    """Return `text` shortened, with control characters escaped, fit to be printed."""
    short = text if len(text) <= 120 else f"{text[:119]}…"
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in short)


def shown(name: str) -> str:
    """Return `name` as it is if it is a name, else in quotes, fit to be printed."""
    return name if re.fullmatch(NAME_PATTERN, name) and len(name) <= NAME_LENGTH else quoted(name)


def suggestion(text: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return `did you mean …?` with the one of `known` that is most like `text`, or nothing.

    `likeness` is how alike they have to be: 0 is not at all, 1 the same.
    """
    # A cut keeps the comparison, quadratic in the length, cheap for any text.
    close = get_close_matches(text[:100].lower(), sorted(known), n=1, cutoff=likeness)
    return f"did you mean {printable(close[0])}?" if close else ""


def _name_hint(text: str) -> str:
    rule = "begin with a letter or digit, and use a-z, 0-9 and - only"
    # Letters without their accents.
    ascii_text = normalize("NFKD", text[:TEXT_LENGTH]).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:NAME_LENGTH]
    return f"{rule}: {slug}" if slug and slug not in RESERVED_NAMES else rule


def _is_host_name(text: str) -> bool:
    labels = text.split(".")
    return (
        len(text) <= HOST_LENGTH
        and all(re.fullmatch(_LABEL, label) for label in labels)
        # RFC 1123 section 2.1: a top-level domain has a letter, so that it is never an address.
        # inet_aton(3) reads hexadecimal numbers too.
        and not re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", labels[-1])
    )


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _host_name_fault(text: str, what: str) -> Fault | None:
    if hint := _quotes_hint(text):
        return Fault(what, hint)
    if not text.isascii():
        return Fault(what, "write an international name in its ASCII form, xn--…")
    if not _is_host_name(text):
        return Fault(what, "write a host name such as gw.example.org, or an IP address")
    if re.fullmatch(_LOOPBACK_NAME, text.lower()):
        return Fault(f"{text} is the loopback address of each host", _REACHABLE)
    return None


def _ip_fault(text: str, what: str) -> Fault | None:
    try:
        found = address(text)
    except ValueError:
        return Fault(what, "write an IP address as 192.0.2.1 or 2001:db8::1, without a port")
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        return Fault(what, "leave the zone after the % out")
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return Fault(f"{text} is an IPv4 address in IPv6 form", f"write {found.ipv4_mapped}")
    if kind := unreachable_kind(found):
        return Fault(f"{text} is {kind}: no other site can connect to it", _REACHABLE)
    return None


def unreachable_kind(found: Address) -> str | None:
    """Return what an address is that packets of another site never reach, None for others."""
    return next((kind for block, kind in _UNREACHABLE if found in block), None)


_REACHABLE = "write the public address, or none if the host is behind NAT"

# RFC 6761 section 6.3, and the names of /etc/hosts of Debian, Fedora and SUSE.
_LOOPBACK_NAME = (
    r"(.*\.)?localhost|localhost[46]?(\.localdomain[46]?)?|(ip6|ipv6)-(localhost|loopback)"
)

_UNREACHABLE = tuple(
    ((IPv6Network if ":" in block else IPv4Network)(block), kind)
    for block, kind in (
        ("0.0.0.0/8", "not the address of a host (RFC 1122)"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("240.0.0.0/4", "a reserved address (RFC 1112)"),
        ("::/128", "the unspecified address"),
        ("::1/128", "the loopback address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
