"""Who has stolen a cell's package has nothing, once the cell has new keys."""

from __future__ import annotations

import zipfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.codec import encode
from uno.model.key_ids import cell_sealing, cell_signing
from uno.model.messages import Envelope, Kind
from uno.model.package import Package
from uno.model.syntax import Mailbox
from uno.model.trust import Revocation, TrustUpdate, newest_key
from uno.model.uvn import TimingProfile, Uvn
from uno.registry.changes import edits, key_rotation, membership, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish.keygen import public_half, text
from uno.registry.store import trust_rows
from uno.registry.store.directory import Registry
from uno.render import package_file
from uno.statesync.envelope import Untrusted, seal, signed, signer, unseal, verify

Change = Callable[[Callable[[Uvn], Edited]], None]


@pytest.fixture
def change(registry: Registry, by: Author) -> Change:
    def make(edit: Callable[[Uvn], Edited]) -> None:
        operations.change(registry, edit, by=by, why="test")

    return make


def setting(uvn: Uvn, **settings: object) -> Edited:
    return Edited(uvn=replace(uvn, settings=replace(uvn.settings, **settings)))


def package(root: Path, name: str) -> Package:
    return package_file.read((root / "cells" / f"net__{name}.uvn-agent").read_bytes())


def public_keys(stolen: Package) -> set[str]:
    """Return the public halves of the keys in a package, as X25519 pairs and as Ed25519 ones."""
    private = [key for each in stolen.secrets.values() if len(key := b64decode(each)) == 32]
    sign = (Ed25519PrivateKey.from_private_bytes(each).public_key() for each in private)
    return {text(public_half(each)) for each in private} | {
        text(each.public_bytes_raw()) for each in sign
    }


def trust(registry: Registry) -> TrustUpdate:
    return trust_rows.read(registry.store.database)


@pytest.mark.feature("G54")
@pytest.mark.parametrize("name", ["c1", "c3"])
def test_nothing_in_a_stolen_package_is_of_use_after_the_rekey(
    registry: Registry, root: Path, change: Change, name: str
) -> None:
    stolen = package(root, name)
    others = [each for each in ("c1", "c2", "c3") if each != name]
    before = {each: package(root, each) for each in others}
    # Else it would prove nothing: the keys are in use.
    assert any(is_of_use(stolen, each) for each in before.values())

    change(lambda it: key_rotation.rekey_stolen_cell(it, name))

    own = package(root, name)
    shared = set(stolen.secrets.values()) & set(own.secrets.values())
    assert shared == set()
    for each in others:
        assert not is_of_use(stolen, package(root, each))
    plan = registry.store.head().plan
    assert not public_keys(stolen) & set(plan.public_keys.values())
    psks = {peer.psk for peer in stolen.particles}
    assert not psks & {peer.psk for peer in own.particles}
    assert not any(key in text_ for text_ in particle_texts(root) for key in public_keys(stolen))
    # Nor does the registry keep them, for cells that have not got new ones.
    stored = {text(each.private) for each in registry.store.secret_table.epochs("root/")}
    assert not stored & set(stolen.secrets.values())


def is_of_use(stolen: Package, victim: Package) -> bool:
    """Whether a link or a preshared key in `victim`, or a signature, is one that `stolen` has."""
    cell, public = stolen.plan.cell, public_keys(stolen)
    links = {link.public_key for link in victim.plan.links}
    psks = {victim.secrets[link.psk] for link in victim.plan.links}
    status = Envelope(
        subject=cell, kind=Kind.STATUS, sequence=9, relayed_by=cell, body=b"{}", signature=b""
    )
    forged = signed(
        status, identity=stolen.plan.identity, sign=signer(stolen.secrets[cell_signing(cell)])
    )
    try:
        key = victim.roster.member(cell).sign_key
        verify(forged, identity=victim.plan.identity, public_key=key)
    except Untrusted:
        return bool(links & public or psks & set(stolen.secrets.values()))
    return True


def particle_texts(root: Path) -> list[str]:
    found = []
    for path in (root / "particles").iterdir():
        with zipfile.ZipFile(path) as content:
            found += [
                content.read(each).decode() for each in content.namelist() if each.endswith(".conf")
            ]
    assert found
    return found


@pytest.mark.feature("G54")
def test_a_stolen_package_opens_no_package_that_is_sealed_after_the_rekey(
    registry: Registry, root: Path, change: Change
) -> None:
    stolen = package(root, "c1")
    identity, old = stolen.plan.identity, stolen.secrets[cell_sealing(1)]

    change(lambda it: key_rotation.rekey_stolen_cell(it, "c1"))

    public = registry.store.head().plan.public_keys[cell_sealing(1)]
    sealed = seal(b"a package", public_key=public, identity=identity, cell=1)
    with pytest.raises(Untrusted):
        unseal(sealed, private_key=old, identity=identity, cell=1)
    new = package(root, "c1").secrets[cell_sealing(1)]
    assert unseal(sealed, private_key=new, identity=identity, cell=1) == b"a package"


@pytest.mark.feature("G54")
def test_links_of_other_cells_keep_their_keys(registry: Registry, change: Change) -> None:
    old = registry.store.secrets()

    change(lambda it: key_rotation.rekey_stolen_cell(it, "c1"))

    new = registry.store.secrets()
    changed = {name for name in old if old[name] != new.get(name)}
    assert all(name.startswith("link/1-") or "/1" in name for name in changed)
    assert {"cell/1/sign", "cell/1/seal", "root/1", "root/1/psk", "hub/1"} < changed


@pytest.mark.feature("G54")
def test_stolen_keys_are_revoked_for_all_packages_so_far_and_a_roll_back_does_not_end_that(
    registry: Registry, change: Change
) -> None:
    change(lambda it: key_rotation.rekey_stolen_cell(it, "c1"))
    revoked = TrustUpdate(cells=(Revocation(id=1, before=2),))
    assert trust(registry) == revoked
    definition = registry.store.generation(1).uvn

    change(lambda it: setting(it, timing_profile=TimingProfile.FAST))
    change(lambda _: Edited(uvn=definition))

    assert trust(registry) == revoked


@pytest.mark.feature("G54")
def test_what_is_banned_is_revoked_until_it_has_new_keys(
    registry: Registry, change: Change
) -> None:
    change(lambda it: membership.exclude_cell(it, "c2", excluded=True))
    change(lambda it: membership.exclude_particle(it, "p1", excluded=True))
    both = TrustUpdate(cells=(Revocation(id=2),), particles=(Revocation(id=1),))
    assert trust(registry) == both

    change(lambda it: membership.exclude_cell(it, "c2", excluded=False))
    assert trust(registry).cells == (Revocation(id=2, before=4),)
    change(lambda it: membership.delete_particle(it, "p1"))
    assert trust(registry).particles == (Revocation(id=1),)


@pytest.mark.feature("G54")
def test_the_particles_of_a_banned_user_are_revoked(registry: Registry, change: Change) -> None:
    change(lambda it: edits.add_user(it, Mailbox(email="eve@example.org"), password=None))
    change(lambda it: edits.add_particle(it, "phone", "eve@example.org"))

    change(lambda it: membership.exclude_user(it, "eve@example.org", excluded=True))

    assert trust(registry).particles == (Revocation(id=2),)


@pytest.mark.feature("G54")
def test_the_registry_s_new_key_is_signed_with_the_old_one(
    registry: Registry, root: Path, change: Change
) -> None:
    first = package(root, "c1").manifest

    change(key_rotation.rekey_registry)
    change(key_rotation.rekey_registry)

    new = package(root, "c1").manifest
    assert first.registry_keys == ()
    # Those of an older uno can be read by it, and the other way round.
    assert b"registry_keys" not in encode(first)
    assert new.registry_keys == trust(registry).registry_keys
    assert new.registry_keys[0].follows == first.registry_key
    chain = new.registry_keys
    assert newest_key(first.registry_key, chain, identity=new.identity) == new.registry_key
    # The old one is gone.
    stored = registry.store.secret_table.epochs("registry/sign")
    assert [text(each.public or b"") for each in stored] == [new.registry_key]


def test_the_keys_of_a_banned_cell_are_not_stolen_any_more(change: Change) -> None:
    change(lambda it: membership.exclude_cell(it, "c2", excluded=True))

    with pytest.raises(Rejected, match="cell c2 is banned"):
        change(lambda it: key_rotation.rekey_stolen_cell(it, "c2"))
