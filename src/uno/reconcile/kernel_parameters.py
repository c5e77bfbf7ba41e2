"""The kernel parameters that uno sets on a host, in order, and how each is restored. Pure.

Each decision is made from the values before uno, which are recorded before the first change: the
present ones may be uno's own doing. Forwarding changes more than itself (ip-sysctl, and
`addrconf_fixup_forwarding` and `inet_forward_change` in Linux): the kernel removes routes of router
advertisements, ignores further ones where `accept_ra` is not 2, gives every interface the same
value, and resets whether redirects are accepted. So forwarding is set last, and restored first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from uno.ports.host import Facts

IPV4_FORWARDING = "net.ipv4.ip_forward"
IPV6_FORWARDING = "net.ipv6.conf.all.forwarding"

FORWARDING = (IPV4_FORWARDING, IPV6_FORWARDING)
"""What turns forwarding on, of each IP version."""

_REDIRECTS = "net.ipv4.conf.all.accept_redirects"
# Flows, not packets, are spread over equal paths: by addresses and ports.
_SPREADING = ("net.ipv4.fib_multipath_hash_policy", "net.ipv6.fib_multipath_hash_policy")
_ALWAYS = (*_SPREADING, *FORWARDING)

OPTIONAL = frozenset(_SPREADING)
"""Parameters that are left as they are where they cannot be set, as in some containers."""

_ACCEPT_WHILE_FORWARDING = "2"
_ACCEPTING = ("1", _ACCEPT_WHILE_FORWARDING)


def relevant(interfaces: Iterable[str]) -> tuple[str, ...]:
    """Return the parameters whose values `parameters` depends on, where these interfaces exist."""
    each = (
        (_accept_ra(name), _forwarding(4, name), _forwarding(6, name))
        for name in _names(interfaces)
    )
    return (*FORWARDING, _REDIRECTS, *chain.from_iterable(each))


def parameters(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return the parameters that uno sets on such a host with their values, in order.

    Some have their value before uno: they are recorded, since another of uno's changes resets them.
    """
    found = (*_before_forwarding(facts), *((key, "1") for key in _ALWAYS))
    return tuple(each for each in found if facts.has_ipv6 or not each[0].startswith("net.ipv6."))


def inherited(
    originals: Mapping[str, str], present: Mapping[str, str], interfaces: Iterable[str]
) -> dict[str, str]:
    """Return what `accept_ra` of interfaces that have come since `originals` is restored to.

    They got uno's value from `default`, and would have got the one that was there before. One that
    another program has set is not among them.
    """
    before = originals.get(_accept_ra("default"))
    if before is None:
        return {}
    _, *names = _names(interfaces)
    # One that forwarded by a setting of its own was there before: that is recorded.
    keys = (_accept_ra(name) for name in names if _forwarding(6, name) not in originals)
    return {
        key: before
        for key in keys
        if key not in originals and present.get(key) == _ACCEPT_WHILE_FORWARDING
    }


def restored(
    originals: Mapping[str, str],
    present: Mapping[str, str],
    *,
    still_forwarded: Collection[int] = (),
) -> Iterator[tuple[str, str]]:
    """Yield what each recorded parameter is restored to, in order.

    Another program may have decided since about router advertisements on an interface, and may
    process them itself: its value stays. So do forwarding of the IP versions `still_forwarded`, and
    what depends on it.
    """
    for key in sorted(originals, key=lambda each: (each not in FORWARDING, each)):
        value = present.get(key, originals[key])
        is_own = not key.endswith(".accept_ra") or value == _ACCEPT_WHILE_FORWARDING
        is_kept = _version(key) in still_forwarded and key not in _SPREADING
        yield key, originals[key] if is_own and not is_kept else value


def forwarded_by_uno(originals: Mapping[str, str]) -> tuple[int, ...]:
    """Return the IP versions that a host did not forward before uno."""
    keys = {4: IPV4_FORWARDING, 6: IPV6_FORWARDING}
    return tuple(version for version, key in keys.items() if originals.get(key) == "0")


def suffices(key: str, value: str, *, every: str) -> bool:
    """Whether the value of a parameter of uno's own interfaces does where it cannot be set.

    `every` is that of all interfaces: the larger is in force (ip-sysctl, rp_filter), and only 1 is
    strict. An interface without IPv6 does where the host gives none to any.
    """
    if key.endswith(".rp_filter"):
        return max(value, every) != "1"
    return key.startswith("net.ipv6.")


def _before_forwarding(facts: Facts) -> Iterator[tuple[str, str]]:
    ports = {nic.name for nic in facts.nics if nic.is_bridge_port}
    default, *names = _names(nic.name for nic in facts.nics)
    # The default last: an interface that has uno's value, and is not recorded, has come since.
    for name in (*names, default):
        key = _accept_ra(name)
        is_unused = name.replace("/", ".") in ports and key not in facts.originals
        if not is_unused and _accepts_advertisements(name, facts):
            yield key, _ACCEPT_WHILE_FORWARDING
    for version, every in ((4, IPV4_FORWARDING), (6, IPV6_FORWARDING)):
        if _before(every, facts) == "0":
            keys = (_forwarding(version, name) for name in _names(n.name for n in facts.nics))
            yield from ((key, "1") for key in keys if _forwarded_alone(key, every, facts))
    if _before(IPV4_FORWARDING, facts) == "0" and _REDIRECTS in facts.sysctls:
        yield _REDIRECTS, "0"


def _accepts_advertisements(name: str, facts: Facts) -> bool:
    """Whether the kernel accepted router advertisements on an interface before uno.

    Its routes do not show it: an address may come without a default route, the next advertisement
    may be due in half an hour, and the interface may have come later.
    """
    key = _accept_ra(name)
    is_alone = _forwarded_alone(_forwarding(6, name), IPV6_FORWARDING, facts)
    accepted = (_ACCEPT_WHILE_FORWARDING,) if is_alone else _ACCEPTING
    accepts = facts.sysctls.get(key) in _ACCEPTING and _before(key, facts) in accepted
    return accepts and _before(IPV6_FORWARDING, facts) == "0"


def _forwarded_alone(key: str, every: str, facts: Facts) -> bool:
    """Whether an interface forwarded before uno by a setting of its own, `key`."""
    if every in facts.originals:
        return facts.originals.get(key) == "1"
    return facts.sysctls.get(key) == "1"


def _before(key: str, facts: Facts) -> str | None:
    """Return the value before uno."""
    return facts.originals.get(key, facts.sysctls.get(key))


def _version(key: str) -> int:
    return 6 if key.startswith("net.ipv6.") else 4


def _names(interfaces: Iterable[str]) -> tuple[str, ...]:
    """Return interfaces as sysctl(8) names them, after `default`, which later ones inherit."""
    return ("default", *(name.replace(".", "/") for name in interfaces))


def _accept_ra(name: str) -> str:
    return f"net.ipv6.conf.{name}.accept_ra"


def _forwarding(version: int, name: str) -> str:
    return f"net.ipv{version}.conf.{name}.forwarding"
