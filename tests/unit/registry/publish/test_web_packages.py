from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace

from uno.model import codec, web_access
from uno.model.key_ids import WEB, WEB_ROOT
from uno.model.password_hash import parsed
from uno.model.uvn import User, Uvn
from uno.model.web_access import WebAccess, WebUser
from uno.registry.changes import edits, key_rotation, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish import (
    cell_packages,
    keygen,
    package_files,
    particle_packages,
    web_authority,
)
from uno.registry.store.directory import Registry
from uno.registry.store.password_hashes import hashed
from uno.render import package_file, web_seal

pytestmark = pytest.mark.usefixtures("full_password_costs")

OWNER, JANE, JOHN = "john@example.org", "jane@example.org", "jim@example.org"
PASSWORDS = {OWNER: "the owner's password", JANE: "jane's password", JOHN: "jim's password"}


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    return {email: hashed(password) for email, password in PASSWORDS.items()}


@pytest.fixture
def uvn(definition: Callable[..., Uvn], hashes: dict[str, str]) -> Uvn:
    """John owns it, Jane the cell c2 and the particle p1, Jim the particle p2."""
    made = definition(cells=3, particles=3)
    one, two, three = made.cells
    phone, tablet, laptop = made.particles
    return replace(
        made,
        users=tuple(User(email=it, password=hashes[it]) for it in sorted(PASSWORDS)),
        cells=(one, replace(two, owner=JANE), three),
        particles=(replace(phone, owner=JANE), replace(tablet, owner=JOHN), laptop),
    )


@pytest.fixture
def made(root: Path, uvn: Uvn, by: Author) -> Path:
    operations.define_uvn(root, Edited(uvn=uvn), by=by)
    return root


def access_of(root: Path, name: str) -> WebAccess:
    package = package_file.read((root / "cells" / f"net__{name}.uvn-agent").read_bytes())
    found = web_access.of_package(package)
    assert found is not None
    return found


def user(access: WebAccess, email: str) -> WebUser:
    (found,) = (each for each in access.users if each.email == email)
    return found


def password_hash(of: WebUser, password: str) -> bytes:
    return hash_secret_raw(
        password.encode(), of.salt, of.passes, of.memory, of.lanes, of.size, Type.ID
    )


@pytest.mark.feature("F106")
def test_every_cell_has_an_authority_for_itself_of_the_same_root(made: Path) -> None:
    found = [access_of(made, name) for name in ("c1", "c2", "c3")]

    assert len({each.root for each in found}) == 1
    assert len({each.authority for each in found}) == len({each.key for each in found}) == 3
    root = x509.load_der_x509_certificate(found[0].root)
    for each in found:
        x509.load_der_x509_certificate(each.authority).verify_directly_issued_by(root)


@pytest.mark.feature("F116")
def test_a_cell_knows_the_users_that_it_has_to(made: Path) -> None:
    users = {name: {it.email for it in access_of(made, name).users} for name in ("c1", "c2", "c3")}

    # c3 is private, and serves no particles.
    assert users == {"c1": {OWNER, JANE, JOHN}, "c2": {OWNER, JANE, JOHN}, "c3": {OWNER}}
    assert access_of(made, "c2").cell_owner == JANE
    assert access_of(made, "c2").owner == OWNER


@pytest.mark.feature("F116")
def test_a_password_has_the_verifier_and_another_has_not(made: Path) -> None:
    jane = user(access_of(made, "c1"), JANE)

    assert web_seal.verifier(password_hash(jane, PASSWORDS[JANE])) == jane.verifier
    assert web_seal.verifier(password_hash(jane, PASSWORDS[OWNER])) != jane.verifier


@pytest.mark.feature("F115")
def test_a_password_opens_the_keys_of_the_users_particles_at_that_cell(
    made: Path, uvn: Uvn
) -> None:
    with operations.opened(made) as registry:
        plan, secrets = registry.store.head().plan, registry.store.secrets()
    sources = cell_packages.sources(plan, secrets)
    for name, cell in (("c1", 1), ("c2", 2)):
        jane = user(access_of(made, name), JANE)
        opened = web_seal.unseal(
            jane.particles,
            password_hash=password_hash(jane, PASSWORDS[JANE]),
            identity=uvn.identity,
            cell=cell,
            email=JANE,
        )
        configurations = particle_packages.configurations(plan, sources, 1)
        (conf,) = (each.conf for each in configurations if each.cell == name)
        assert list(opened) == [1]
        assert f"PrivateKey = {keygen.text(opened[1][:32])}" in conf
        assert f"PresharedKey = {keygen.text(opened[1][32:])}" in conf


@pytest.mark.feature("F115")
def test_a_stolen_package_opens_no_other_users_particles(made: Path, uvn: Uvn) -> None:
    first, second = access_of(made, "c1"), access_of(made, "c2")
    janes = password_hash(user(first, JANE), PASSWORDS[JANE])
    attempts = (
        # Another user's keys, under her own e-mail address and under theirs.
        (user(first, JOHN).particles, 1, JANE),
        (user(first, JOHN).particles, 1, JOHN),
        # Her own keys of another cell.
        (user(second, JANE).particles, 1, JANE),
        (user(first, JANE).particles, 2, JANE),
        (user(first, JANE).particles, 1, JOHN),
    )
    for sealed, cell, email in attempts:
        with pytest.raises(ValueError, match="not sealed for this user"):
            web_seal.unseal(
                sealed, password_hash=janes, identity=uvn.identity, cell=cell, email=email
            )


@pytest.mark.feature("F115")
def test_nothing_in_a_stolen_package_is_a_particles_key_or_opens_one(made: Path, uvn: Uvn) -> None:
    """Whoever has it all has to guess passwords, at the price of an argon2id run for each guess."""
    private = particle_keys(made)
    assert len(private) == 6, "three particles, each with a key for each of two cells"
    for name, cell in (("c1", 1), ("c2", 2)):
        content = (made / "cells" / f"net__{name}.uvn-agent").read_bytes()
        pieces = {content, *pieces_of(codec.to_builtins(package_file.read(content)))}
        for key in private:
            for shown in (key, key.hex().encode(), b64encode(key), urlsafe_b64encode(key)):
                assert not any(shown.rstrip(b"=") in each for each in pieces)
        keys = {it for it in pieces if 16 <= len(it) <= 64}
        keys |= {hashlib.sha256(it).digest() for it in keys}
        users = access_of(made, name).users
        assert {it.email for it in users if it.particles} == {OWNER, JANE, JOHN}
        assert {it.verifier for it in users} < keys
        opened = [of.email for of, key in product(users, keys) if opens(of, key, uvn, cell)]
        assert opened == []
        jane = user(access_of(made, name), JANE)
        assert opens(jane, password_hash(jane, PASSWORDS[JANE]), uvn, cell)
        # RFC 9106, section 4: the second recommended choice.
        costs = {(it.memory, it.passes, it.lanes, len(it.salt), it.size) for it in users}
        assert costs == {(64 << 10, 3, 4, 16, 32)}
        assert len({it.salt for it in users}) == len(users)


def opens(of: WebUser, key: bytes, uvn: Uvn, cell: int) -> bool:
    """Whether the keys of a user's particles are sealed under what follows from `key`."""
    derived = HKDF(
        algorithm=SHA256(),
        length=64,
        salt=bytes.fromhex(uvn.identity) + cell.to_bytes(8, "big"),
        info=b"uno web particles",
    )
    try:
        AESSIV(derived.derive(key)).decrypt(of.particles, [of.email.encode()])
    except InvalidTag:
        return False
    return True


def particle_keys(root: Path) -> set[bytes]:
    """Return the private keys in the configurations of all particles."""
    with operations.opened(root) as registry:
        plan, secrets = registry.store.head().plan, registry.store.secrets()
    sources = cell_packages.sources(plan, secrets)
    texts = [
        each.conf
        for particle in plan.particles
        for each in particle_packages.configurations(plan, sources, particle.id)
    ]
    return {b64decode(found) for it in texts for found in re.findall(r"PrivateKey = (\S+)", it)}


def pieces_of(value: object) -> Iterator[bytes]:
    """Yield every text in a value as bytes, and what it is the base64, hex or JSON of."""
    if isinstance(value, dict):
        yield from pieces_of([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from pieces_of(each)
    elif isinstance(value, str):
        yield value.encode()
        for decode in (bytes.fromhex, partial(b64decode, validate=True)):
            with suppress(ValueError):
                yield (decoded := decode(value))
                yield from pieces_of(json.loads(decoded))


@pytest.mark.feature("F116")
def test_no_package_has_a_password_hash_or_the_secret_of_the_root(
    made: Path, hashes: dict[str, str]
) -> None:
    with operations.opened(made) as registry:
        seed = registry.store.secrets()[WEB_ROOT].private
    raw = [found.hash for it in hashes.values() for found in [parsed(it)] if found]
    assert len(raw) == 3
    for name in ("c1", "c2", "c3"):
        package = package_file.read((made / "cells" / f"net__{name}.uvn-agent").read_bytes())
        texts = [*package.secrets.values(), b64decode(package.secrets[WEB]).decode()]
        for hidden in (*hashes.values(), *map(keygen.text, (*raw, seed))):
            assert not any(hidden.rstrip("=") in each for each in texts)


@pytest.mark.feature("F116")
def test_a_new_password_is_a_new_package_where_its_user_may_log_in(made: Path, by: Author) -> None:
    def edit(uvn: Uvn) -> Edited:
        john, jane, jim = (
            next(it for it in uvn.users if it.email == email) for email in (OWNER, JANE, JOHN)
        )
        changed = replace(jim, password=hashed("another"))
        return Edited(uvn=replace(uvn, users=tuple(sorted((john, jane, changed), key=_email))))

    with operations.opened(made, for_change=True) as registry:
        done = operations.change(registry, edit, by=by, why="test")

    assert set(done.published.cell_packages) == {"net__c1.uvn-agent", "net__c2.uvn-agent"}


def _email(of: User) -> str:
    return of.email


@pytest.mark.feature("F116")
def test_who_is_banned_or_has_no_password_cannot_log_in(root: Path, uvn: Uvn, by: Author) -> None:
    users = tuple(
        replace(it, excluded=True)
        if it.email == JOHN
        else replace(it, password=None)
        if it.email == JANE
        else it
        for it in uvn.users
    )
    operations.define_uvn(root, Edited(uvn=replace(uvn, users=users)), by=by)

    assert {it.email for it in access_of(root, "c1").users} == {OWNER}


@pytest.mark.feature("F106")
def test_a_registry_of_an_older_uno_gets_certificates_with_its_next_generation(
    made: Path, by: Author
) -> None:
    with operations.opened(made, for_change=True) as registry:
        as_an_older_one(registry)
        before = web_access.of_package(
            package_file.read((made / "cells" / "net__c1.uvn-agent").read_bytes())
        )
        assert before is None

        done = operations.change(registry, lambda it: Edited(uvn=it), by=by, why="test")

    assert done.is_made
    assert len(done.published.cell_packages) == 3
    assert access_of(made, "c1").root == access_of(made, "c3").root


def as_an_older_one(registry: Registry) -> None:
    """Leave what a uno without web pages has written."""
    store = registry.store
    made = cell_packages.sources(
        store.head().plan,
        {id_: each for id_, each in store.secrets().items() if id_ != WEB_ROOT},
    )
    with store.transaction():
        store.drop_secrets([WEB_ROOT])
        store.set_cell_packages(
            cell_packages.rows(made, store.cell_packages(), generation=1).values()
        )
    package_files.publish(registry)


@pytest.mark.feature("F106")
def test_a_cell_with_new_keys_has_a_new_authority_and_others_keep_theirs(
    made: Path, by: Author
) -> None:
    before = {name: access_of(made, name) for name in ("c1", "c2")}
    with operations.opened(made, for_change=True) as registry:
        operations.change(
            registry, lambda it: key_rotation.rekey_stolen_cell(it, "c1"), by=by, why="test"
        )
    after = {name: access_of(made, name) for name in ("c1", "c2")}

    assert after["c1"].key != before["c1"].key
    assert after["c1"].metrics_token != before["c1"].metrics_token
    assert after["c2"].key == before["c2"].key
    assert after["c1"].root == before["c1"].root


@pytest.mark.feature("F106")
def test_certificates_are_the_same_each_time(made: Path, by: Author) -> None:
    before = {name: access_of(made, name) for name in ("c1", "c2", "c3")}
    web_authority.root_certificate.cache_clear()
    with operations.opened(made, for_change=True) as registry:
        operations.change(
            registry,
            lambda it: edits.add_cell(it, edits.NewCell(name="new")),
            by=by,
            why="test",
        )
    after = access_of(made, "c3")

    assert (after.root, after.key) == (before["c3"].root, before["c3"].key)
    names = x509.NameConstraints
    own = (x509.load_der_x509_certificate(it.authority) for it in (before["c3"], after))
    for it in own:
        assert it.extensions.get_extension_for_class(names).critical


@pytest.mark.parametrize(
    "phc",
    [
        "",
        "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=4294967,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=65536,t=300,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=65536,t=3,p=99$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=31,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFz",
        "$argon2id$v=19$m=65536,t=3,p=4$c$aGFzaGhhc2hoYXNoaGFzaA",
        "$2b$12$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
)
def test_a_hash_that_a_cell_is_not_to_compute_is_none(phc: str) -> None:
    assert parsed(phc) is None
