"""The files of DDS Security, judged by OpenSSL, which is what the plugins read them with."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import fields
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.host.command import run
from uno.model.messages import REGISTRY
from uno.model.uvn import Uvn
from uno.ports.bus import Security
from uno.registry.changes import operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish import dds_security
from uno.registry.publish.dds_security import Credentials
from uno.registry.store.directory import Registry
from uno.render import package_file

IDENTITY = "9f2c" * 8
SEED = bytes(range(32))


@pytest.fixture(scope="module")
def authority() -> bytes:
    return dds_security.new_authority().private


@pytest.fixture(scope="module")
def cell(authority: bytes) -> Credentials:
    return dds_security.credentials(authority, SEED, node=3, identity=IDENTITY, domain=46)


def test_the_authority_vouches_for_the_certificate(cell: Credentials, tmp_path: Path) -> None:
    ca, certificate = written(tmp_path, cell.identity_ca), written(tmp_path, cell.certificate)

    done = run(["openssl", "verify", "-x509_strict", "-CAfile", str(ca), str(certificate)])

    assert "OK" in done.stdout


def test_the_private_key_is_that_of_the_certificate(cell: Credentials) -> None:
    key = load_pem_private_key(cell.private_key, password=None)
    certificate = x509.load_pem_x509_certificate(cell.certificate)

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate.public_key()


@pytest.mark.feature("F041")
@pytest.mark.parametrize("name", ["governance", "permissions"])
def test_the_documents_are_signed_by_the_authority(
    cell: Credentials, name: str, tmp_path: Path
) -> None:
    document = verified(getattr(cell, name), cell.permissions_ca, tmp_path)

    assert document.startswith("<?xml")
    assert f"omg_shared_ca_{name}.xsd" in document


def test_a_document_that_was_altered_is_refused(cell: Credentials, tmp_path: Path) -> None:
    altered = cell.permissions.replace(b"<default>DENY", b"<default>ALLOW")
    assert altered != cell.permissions

    with pytest.raises(UnoError):
        verified(altered, cell.permissions_ca, tmp_path)


def test_another_authority_is_another(cell: Credentials, tmp_path: Path) -> None:
    other = dds_security.credentials(
        dds_security.new_authority().private, SEED, node=3, identity=IDENTITY, domain=46
    )

    with pytest.raises(UnoError):
        verified(other.permissions, cell.permissions_ca, tmp_path)


def test_the_permissions_name_the_subject_of_the_certificate(
    cell: Credentials, tmp_path: Path
) -> None:
    certificate = x509.load_pem_x509_certificate(cell.certificate)

    document = verified(cell.permissions, cell.permissions_ca, tmp_path)

    subject = f"CN=cell-3,O={IDENTITY}"
    assert certificate.subject.rfc4514_string() == subject
    assert f"<subject_name>{subject}</subject_name>" in document


def test_a_cell_speaks_for_the_registry_only_where_it_passes_on(
    cell: Credentials, tmp_path: Path
) -> None:
    document = verified(cell.permissions, cell.permissions_ca, tmp_path)

    assert (
        "<publish><topics><topic>uno/uvn</topic><topic>uno/activation</topic>"
        "<topic>uno/trust</topic></topics>"
        "<partitions><partition>relay</partition><partition>for-registry</partition></partitions></publish>"
    ) in document
    assert "<partition>cell-3</partition><partition>relay-*</partition>" in document


def test_the_registry_may_do_what_cells_may_not(authority: bytes, tmp_path: Path) -> None:
    registry = dds_security.credentials(
        authority, SEED, node=REGISTRY, identity=IDENTITY, domain=46
    )

    document = verified(registry.permissions, registry.permissions_ca, tmp_path)

    assert (
        "<publish><topics><topic>uno/uvn</topic><topic>uno/activation</topic>"
        "<topic>uno/trust</topic></topics>"
        "<partitions><partition>own</partition></partitions></publish>"
    ) in document


def test_the_same_keys_make_the_same_bytes(authority: bytes, cell: Credentials) -> None:
    dds_security._root.cache_clear()
    dds_security._private.cache_clear()

    again = dds_security.credentials(authority, SEED, node=3, identity=IDENTITY, domain=46)

    assert again == cell


def test_there_is_a_file_for_all_that_a_participant_needs(cell: Credentials) -> None:
    assert {it.name for it in fields(Credentials)} == {it.name for it in fields(Security)}
    assert set(cell.secrets()) == {f"dds/{it.name}" for it in fields(Security)}


@pytest.mark.feature("F041")
def test_packages_have_the_files_while_the_setting_is_on_and_nothing_else_changes(
    registry: Registry, root: Path, by: Author
) -> None:
    def switched(uvn: Uvn, *, on: bool) -> Edited:
        settings = replace(uvn.settings, enable_dds_security=on)
        return Edited(uvn=replace(uvn, settings=settings))

    before = secrets_in(root)

    operations.change(registry, lambda it: switched(it, on=True), by=by, why="on")
    secured, keys_then = secrets_in(root), set(registry.store.secrets())
    operations.change(registry, lambda it: switched(it, on=False), by=by, why="off")

    for cell, secrets in before.items():
        added = secured[cell].keys() - secrets.keys()
        assert added == {f"dds/{it.name}" for it in fields(Security)}
        assert {key: secured[cell][key] for key in secrets} == secrets
    assert {"dds/ca", "dds/0", "dds/1"} <= keys_then
    assert secrets_in(root) == before
    assert not any(key.startswith("dds/") for key in registry.store.secrets())


def test_each_cell_has_a_certificate_of_its_own(registry: Registry, root: Path, by: Author) -> None:
    operations.change(
        registry,
        lambda it: Edited(uvn=replace(it, settings=replace(it.settings, enable_dds_security=True))),
        by=by,
        why="on",
    )

    subjects = [
        x509.load_pem_x509_certificate(b64decode(it["dds/certificate"])).subject.rfc4514_string()
        for it in secrets_in(root).values()
    ]

    identity = registry.store.head().plan.identity
    assert sorted(subjects) == [f"CN=cell-{cell},O={identity}" for cell in (1, 2, 3)]


def secrets_in(root: Path) -> dict[int, dict[str, str]]:
    """Return the secrets of all packages, by cell."""
    made = [package_file.read(it.read_bytes()) for it in (root / "cells").iterdir()]
    return {it.manifest.cell: it.secrets for it in made}


def verified(signed: bytes, ca: bytes, directory: Path) -> str:
    """Return the text that OpenSSL finds signed. Raises `UnoError` if it finds none."""
    certificate, message = written(directory, ca), written(directory, signed)
    done = run(
        ["openssl", "smime", "-verify", "-text", "-CAfile", str(certificate), "-in", str(message)]
    )
    return done.stdout


def written(directory: Path, content: bytes) -> Path:
    path = directory / str(len(list(directory.iterdir())))
    path.write_bytes(content)
    return path
