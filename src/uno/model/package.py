"""What is in a cell's package, as values; `render.package_file` turns it into bytes and back."""

from __future__ import annotations

from msgspec import Struct

from uno.model.plan import CellPlan, Member, ParticlePeer, Roster


class RegistryKey(Struct, frozen=True, kw_only=True):
    """A key of the registry, signed with the one that it `follows`; all in base64 (`model.trust`).

    `key` and `follows` are Ed25519 public keys.
    """

    key: str
    follows: str
    signature: str


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The signed part of a package: its cell, its generation, the digests of the rest.

    `digests` maps each other member's name to the SHA-256 of its bytes, in hexadecimal.
    `registry_key` is the registry's Ed25519 public key, in base64. `generation` is that in which
    this cell's configuration last changed. `format` is that of the package (`package_formats`).
    `registry_keys` is the chain of keys that leads to `registry_key`, empty for the registry's
    first key. `content` is a short digest of the manifest as it was signed, and so of the whole
    package; the reader computes it, so that it covers fields that this version does not know.
    """

    format: int
    uvn: str
    identity: str
    cell: int
    cell_name: str
    generation: int
    registry_key: str
    digests: dict[str, str]
    registry_keys: tuple[RegistryKey, ...] = ()
    content: str = ""


class SignedManifest(Struct, frozen=True, kw_only=True):
    """The bytes of a manifest and their Ed25519 signature: proof that a registry made a package."""

    manifest: bytes
    signature: bytes


class Package(Struct, frozen=True, kw_only=True):
    """A whole, verified package. Printing it hides the secrets.

    `secrets` maps key ids to base64 keys, and `key_ids.WEB` to what the cell's page needs.
    """

    manifest: Manifest
    roster: Roster
    plan: CellPlan
    secrets: dict[str, str]
    particles: tuple[ParticlePeer, ...] = ()

    @property
    def own(self) -> Member:
        """The cell that this package is for."""
        return self.roster.member(self.plan.cell)

    def __repr__(self) -> str:
        named = f"{self.manifest.uvn}/{self.manifest.cell_name}"
        return f"Package({named}, generation {self.manifest.generation})"
