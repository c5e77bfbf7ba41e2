from __future__ import annotations

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from uno.model.key_ids import (
    ROOT_REGISTRY,
    cell_signing,
    hub_seed,
    pair_seed,
    particle_seed,
    root_pair,
    root_psk,
)
from uno.registry.publish import keygen
from uno.registry.publish.keygen import RequiredSecrets

NOTHING = RequiredSecrets(pairs=frozenset(), psks=frozenset(), seeds=frozenset())


def wanted(*, pairs: tuple[str, ...] = (), psks: tuple[str, ...] = ()) -> RequiredSecrets:
    return RequiredSecrets(pairs=frozenset(pairs), psks=frozenset(psks), seeds=frozenset())


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
def test_what_is_missing_is_made_of_its_kind() -> None:
    renewal = keygen.renew({}, wanted(pairs=("link/1-2/1",), psks=("link/1-2/psk",)))

    pair, psk = renewal.made
    assert (pair.id, pair.kind, len(pair.private)) == ("link/1-2/1", "pair", 32)
    assert pair.public == keygen.public_half(pair.private)
    assert (psk.id, psk.kind, len(psk.private), psk.public) == ("link/1-2/psk", "psk", 32, None)


def test_keys_that_are_needed_stay_and_others_are_dropped() -> None:
    first = keygen.renew({}, wanted(pairs=("a", "b")))

    second = keygen.renew(first.all, wanted(pairs=("b", "c")))

    assert second.all["b"] == first.all["b"]
    assert [made.id for made in second.made] == ["c"]
    assert second.dropped == ("a",)


def test_the_signing_key_stays_although_no_plan_names_it() -> None:
    signing = keygen.new_signing_key()

    renewal = keygen.renew({signing.id: signing}, NOTHING)

    assert renewal.dropped == ()
    assert renewal.all == {signing.id: signing}


@pytest.mark.feature("G05")
def test_keys_of_the_root_vpn_stay_without_it_as_long_as_their_cells() -> None:
    cells = tuple(map(cell_signing, (1, 12)))
    first = keygen.renew(
        {},
        wanted(
            pairs=(*cells, ROOT_REGISTRY, root_pair(1), root_pair(12)),
            psks=(root_psk(1), root_psk(12)),
        ),
    )

    without = keygen.renew(first.all, wanted(pairs=cells))
    with_one_cell = keygen.renew(first.all, wanted(pairs=cells[:1]))

    assert without.all == first.all
    assert without.dropped == ()
    assert with_one_cell.dropped == (cells[1], root_pair(12), root_psk(12))


def test_the_seed_of_a_pair_stays_as_long_as_both_its_ends() -> None:
    stored = {
        name: keygen.new_shared(name, keygen.SEED)
        for name in (particle_seed(1), hub_seed(7), pair_seed(1, 7))
    }
    seeds = frozenset({particle_seed(1), hub_seed(7)})

    both = keygen.renew(stored, RequiredSecrets(pairs=frozenset(), psks=frozenset(), seeds=seeds))
    one = keygen.renew(
        stored,
        RequiredSecrets(pairs=frozenset(), psks=frozenset(), seeds=seeds - {hub_seed(7)}),
    )

    assert both.dropped == ()
    assert one.dropped == (hub_seed(7), pair_seed(1, 7))


@pytest.mark.feature("F067")
def test_each_pair_of_particle_and_cell_has_keys_of_its_own() -> None:
    particles, hubs = (b"p" * 32, b"q" * 32), (b"h" * 32, b"i" * 32)

    privates = {keygen.particle_private(p, h) for p in particles for h in hubs}
    psks = {keygen.particle_psk(p, h) for p in particles for h in hubs}

    assert len(privates | psks) == 8


def test_re_keying_one_pair_changes_that_pair_alone() -> None:
    particle, hub, extra = b"p" * 32, b"h" * 32, b"x" * 32

    assert keygen.particle_private(particle, hub, extra) != keygen.particle_private(particle, hub)
    assert keygen.particle_psk(particle, hub, extra) != keygen.particle_psk(particle, hub)


def test_a_derived_key_is_an_x25519_key_as_wg_shows_it() -> None:
    private = keygen.particle_private(b"p" * 32, b"h" * 32)

    # RFC 7748, section 5: what clamping leaves as it is.
    assert private[0] & 7 == 0
    assert private[31] & 0xC0 == 0x40
    other = X25519PrivateKey.generate()
    ours = X25519PrivateKey.from_private_bytes(private)
    public = X25519PublicKey.from_public_bytes(keygen.public_half(private))
    assert ours.exchange(other.public_key()) == other.exchange(public)


def test_text_is_base64_as_wireguard_writes_keys() -> None:
    assert b64decode(keygen.text(bytes(range(32)))) == bytes(range(32))
    assert len(keygen.text(bytes(32))) == 44


def test_a_secret_does_not_print_itself() -> None:
    pair = keygen.new_pair("a")

    assert repr(pair.private) not in repr(pair)
