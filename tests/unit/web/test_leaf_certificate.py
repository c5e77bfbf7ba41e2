from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from cryptography import x509
from msgspec.structs import replace

import tls
from packages import HUB, package_of
from uno.model import web_access
from uno.model.web_access import WebAccess
from uno.registry.publish import web_authority
from uno.web import leaf_certificate
from uno.web.leaf_certificate import BEFORE, DAY, RENEWAL

SEED, SIGNING = b"s" * 32, b"k" * 32
NAME = "hub.net.internal"
# OpenSSL compares with the clock.
NOW = time.time_ns() // 10**9
OWN, NODE, ELSEWHERE = (
    IPv4Address("192.168.1.2"),
    IPv4Address("10.255.128.1"),
    IPv4Address("192.168.2.2"),
)


@pytest.fixture(scope="module")
def access() -> WebAccess:
    package = package_of(HUB)
    key = web_authority.cell_key(SEED, HUB, SIGNING)
    networks = web_access.networks(package.plan, package.own)
    return WebAccess(
        root=web_authority.root_certificate(SEED, "net"),
        authority=web_authority.cell_authority(SEED, "net", "hub", key=key, networks=networks),
        key=key,
        owner="owner@example.org",
        cell_owner="owner@example.org",
        metrics_token="t" * 8,
    )


def refusal(leaf: leaf_certificate.Leaf, access: WebAccess, host: object) -> str:
    return tls.handshake(chain=leaf.chain, key=leaf.key, root=access.root, host=str(host))


@pytest.mark.feature("F106")
@pytest.mark.parametrize("host", [OWN, package_of(HUB).own.node4, package_of(HUB).own.node6, NAME])
def test_who_trusts_the_root_trusts_a_cells_page(access: WebAccess, host: object) -> None:
    addresses = (OWN, package_of(HUB).own.node4, package_of(HUB).own.node6)

    leaf = leaf_certificate.make(access, name=NAME, addresses=addresses, now=NOW)

    assert refusal(leaf, access, host) == ""


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    ("name", "address"),
    [
        (NAME, ELSEWHERE),
        (NAME, IPv4Address("93.184.216.34")),
        (NAME, IPv6Address("fd00::1")),
        ("home.net.internal", OWN),
        ("bank.example.org", OWN),
    ],
)
def test_a_cell_that_lies_about_its_address_is_not_trusted(
    access: WebAccess, name: str, address: IPv4Address | IPv6Address
) -> None:
    leaf = leaf_certificate.make(access, name=name, addresses=(OWN, address), now=NOW)

    assert refusal(leaf, access, OWN) == "permitted subtree violation"


@pytest.mark.feature("F106")
def test_nobody_trusts_a_page_without_the_root(access: WebAccess) -> None:
    other = web_authority.root_certificate(b"o" * 32, "net")
    leaf = leaf_certificate.make(access, name=NAME, addresses=(OWN,), now=NOW)

    assert refusal(leaf, replace(access, root=other), OWN) != ""


@pytest.mark.feature("F106")
def test_the_root_is_good_for_private_addresses_alone() -> None:
    key = web_authority.cell_key(SEED, HUB, SIGNING)
    public = IPv4Network("203.0.113.0/24")
    authority = web_authority.cell_authority(SEED, "net", "hub", key=key, networks=(public,))
    root = web_authority.root_certificate(SEED, "net")
    access = WebAccess(
        root=root, authority=authority, key=key, owner="", cell_owner="", metrics_token=""
    )

    address = IPv4Address("203.0.113.7")
    leaf = leaf_certificate.make(access, name=NAME, addresses=(address,), now=NOW)

    assert refusal(leaf, access, address) == "permitted subtree violation"


@pytest.mark.feature("F106")
def test_a_certificate_stays_until_it_is_old_or_an_address_is_new(access: WebAccess) -> None:
    leaf = leaf_certificate.make(access, name=NAME, addresses=(OWN, NODE), now=NOW)

    def is_current(now: int = NOW, *, name: str = NAME, addresses: tuple = (OWN,)) -> bool:  # type: ignore[type-arg]
        return leaf_certificate.is_current(leaf, access, name=name, addresses=addresses, now=now)

    assert is_current()
    assert is_current(NOW + RENEWAL - 1)
    assert not is_current(NOW + RENEWAL)
    assert is_current(NOW - BEFORE)
    assert not is_current(NOW - BEFORE - 1), "the clock was wrong when it was made"
    assert not is_current(name="other.net.internal")
    assert not is_current(addresses=(OWN, ELSEWHERE))
    assert not leaf_certificate.is_current(
        leaf, replace(access, authority=b"new"), name=NAME, addresses=(OWN,), now=NOW
    )


@pytest.mark.feature("F106")
def test_a_certificate_is_good_for_ninety_days_whatever_the_clock(access: WebAccess) -> None:
    leaf = leaf_certificate.make(access, name=NAME, addresses=(OWN,), now=NOW)
    made = x509.load_pem_x509_certificate(leaf.chain.encode())
    before, after = made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
    assert (before, after) == (NOW - 30 * DAY, NOW + 90 * DAY)
    assert leaf.expires == after

    # A clock without a battery: the certificate is made again once it is right.
    early = leaf_certificate.make(access, name=NAME, addresses=(OWN,), now=5)
    made = x509.load_pem_x509_certificate(early.chain.encode())
    assert made.not_valid_before_utc == web_authority.NOT_BEFORE
    assert made.not_valid_before_utc < made.not_valid_after_utc


def test_printing_a_certificate_shows_no_key(access: WebAccess) -> None:
    leaf = leaf_certificate.make(access, name=NAME, addresses=(OWN,), now=NOW)

    assert "PRIVATE" not in repr(leaf)
    assert "tttttttt" not in repr(access)
