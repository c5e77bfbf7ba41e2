"""What is revoked, for which packages, and which key of the registry is the newest."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from packages import HOME, HUB, UVN, package_of
from uno.model.package import Package, RegistryKey
from uno.model.trust import (
    Revocation,
    TrustUpdate,
    merged,
    newest_key,
    obeying,
    replaced_keys,
    successor,
)

IDENTITY = UVN.identity


def private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public(number: int) -> str:
    return b64encode(private(number).public_key().public_bytes_raw()).decode()


def step(old: int, new: int, *, identity: str = IDENTITY) -> RegistryKey:
    return successor(public(new), follows=public(old), identity=identity, sign=private(old).sign)


CHAIN = (step(1, 2), step(2, 3))


@pytest.mark.feature("G54")
@pytest.mark.parametrize("trusted", [1, 2, 3])
def test_whoever_trusts_a_key_of_the_chain_follows_it_to_the_newest(trusted: int) -> None:
    assert newest_key(public(trusted), CHAIN, identity=IDENTITY) == public(3)


@pytest.mark.feature("G54")
@pytest.mark.parametrize(
    "chain",
    [
        (),
        (step(2, 3),),
        (replace(CHAIN[0], key=public(9)),),
        (replace(CHAIN[0], signature=step(9, 2).signature),),
        (replace(CHAIN[0], signature="not base64"),),
        (step(1, 2, identity="1" * 32),),
    ],
)
def test_no_other_chain_leads_anywhere(chain: tuple[RegistryKey, ...]) -> None:
    assert newest_key(public(1), chain, identity=IDENTITY) == public(1)


def signed_members(package: Package) -> Package:
    roster = package.roster
    members = tuple(replace(each, sign_key=f"key {each.id}") for each in roster.members)
    return replace(package, roster=replace(roster, members=members))


@pytest.mark.feature("G54")
def test_a_package_is_obeyed_without_the_link_the_statements_and_the_peer_that_are_revoked() -> (
    None
):
    package = signed_members(package_of(HUB))
    trust = TrustUpdate(cells=(Revocation(id=HOME),), particles=(Revocation(id=2),))

    found = obeying(package, trust)

    assert HOME in {link.cell for link in package.plan.links}
    assert HOME not in {link.cell for link in found.plan.links}
    assert [peer.particle.id for peer in found.particles] == [1, 3]
    assert found.roster.member(HOME).sign_key == ""
    # Packets to its LANs are dropped, as those to any other that is not reached.
    assert found.roster.member(HOME).lans == package.roster.member(HOME).lans
    assert obeying(found, trust) == found


@pytest.mark.feature("G54")
@pytest.mark.parametrize(("generation", "links"), [(4, False), (5, True), (6, True)])
def test_new_keys_end_a_revocation_and_no_earlier_package_does(
    generation: int, *, links: bool
) -> None:
    package = signed_members(package_of(HUB, generation=generation))
    trust = TrustUpdate(cells=(Revocation(id=HOME, before=5),))

    found = obeying(package, trust)

    assert any(link.cell == HOME for link in found.plan.links) is links
    assert bool(found.roster.member(HOME).sign_key) is links


def test_a_revoked_cell_goes_on_with_its_own_package() -> None:
    package = signed_members(package_of(HUB))

    assert obeying(package, TrustUpdate(cells=(Revocation(id=HUB),))) == package


def test_of_two_revocations_the_one_that_covers_more_counts() -> None:
    known = (Revocation(id=1, before=5), Revocation(id=2), Revocation(id=4, before=9))
    added = (Revocation(id=1, before=7), Revocation(id=2, before=3), Revocation(id=3))

    assert merged(known, added) == (
        Revocation(id=1, before=7),
        Revocation(id=2),
        Revocation(id=3),
        Revocation(id=4, before=9),
    )


def test_a_package_with_another_signing_key_of_a_cell_revokes_those_before_it() -> None:
    running = signed_members(package_of(HUB))
    members = tuple(
        replace(each, sign_key="new") if each.id == HOME else each
        for each in running.roster.members
    )
    new = replace(
        running,
        manifest=replace(running.manifest, generation=7),
        roster=replace(running.roster, members=members),
    )

    assert replaced_keys(running, new) == (Revocation(id=HOME, before=7),)
    assert replaced_keys(running, running) == ()
