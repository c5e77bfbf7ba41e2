"""The `.uvn-agent` package: all that one cell needs, signed by its registry, the same bytes always.

It is a `.tar.gz` that any tar can list, made of four gzip members one after the other (RFC 1952,
section 2.2: their contents join):

    manifest.json, signature        verified before anything else is unpacked
    roster.json                     the same in all cells' packages, compressed once
    particles.json                  what does not depend on links
    plan.json, secrets.json, end

`read` takes nothing that `write` would not have made: every tar header is compared whole with the
one it should be, so that there are no paths, links, owners or sparse files to be wary of.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Raw, Struct
from msgspec.structs import replace

from uno.diagnostics import InvalidInput
from uno.model import codec, package_formats
from uno.model.package import Manifest, Package, RegistryKey, SignedManifest
from uno.model.plan import CellPlan, ParticlePeer, Roster

SUFFIX = ".uvn-agent"
ROSTER, PARTICLES, PLAN, SECRETS = "roster.json", "particles.json", "plan.json", "secrets.json"

# 1,000 cells and 1,000 particles are 0.1 MiB packed, 0.3 MiB unpacked: room for far more than that.
PACKED_LIMIT = 64 << 20
UNPACKED_LIMIT = 256 << 20
_HEAD_LIMIT = 64 << 10

_MANIFEST, _SIGNATURE = "manifest.json", "signature"
_BLOCK = 512
_END = bytes(2 * _BLOCK)
# Keys do not compress: levels above 1 take twice the time for 3 % less. The roster is compressed
# once for all cells, and level 6 makes it a tenth smaller.
_LEVELS = {ROSTER: 6}


class PackageRejected(InvalidInput):
    """A package that is not to be used: damaged, forged, or not for this cell."""


class OtherFormat(PackageRejected):
    """A whole package, in a format that this uno does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One member, ready to be put into packages. `digest` is the SHA-256 of its content, in hex."""

    name: str
    digest: str
    packed: bytes = field(repr=False)


def segment(name: str, content: bytes) -> Segment:
    """Pack one member, for callers that put the same one into many packages."""
    packed = _gzip(_entry(name, content), level=_LEVELS.get(name, 1))
    return Segment(name=name, digest=_digest(content), packed=packed)


def roster_segment(roster: Roster) -> Segment:
    """Pack the roster, which is the same for all cells."""
    return segment(ROSTER, codec.encode(roster))


class EncodedPeer(Struct, frozen=True, array_like=True):
    """A `ParticlePeer` whose `particle` is JSON already: encoded once, it serves all cells."""

    particle: Raw
    public_key: str
    psk: str


def particles_segment(peers: Iterable[ParticlePeer | EncodedPeer]) -> Segment:
    """Pack the particles of one cell, given in the order of their ids."""
    return segment(PARTICLES, codec.encode(list(peers)))


def public_keys_in(packed: bytes) -> dict[str, str]:
    """Return the public keys of the particles in a segment, by their preshared keys.

    Raises PackageRejected for a segment of anything else.
    """
    unpacked, _ = _gunzip(packed, limit=UNPACKED_LIMIT)
    (content,) = _members(unpacked, (PARTICLES,))
    try:
        # The identities stay encoded: reading a thousand addresses takes longer than all the rest.
        peers = codec.decode(content, list[EncodedPeer])
    except codec.MalformedJson as error:
        raise _damaged(f"{PARTICLES} is not readable") from error
    return {peer.psk: peer.public_key for peer in peers}


def write(  # noqa: PLR0913 - all of them are parts of the package
    *,
    generation: int,
    package_format: int,
    registry_key: str,
    registry_keys: tuple[RegistryKey, ...] = (),
    roster: Segment,
    particles: Segment,
    plan: CellPlan,
    secrets: Mapping[str, str],
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Return the package of the cell that `plan` is for.

    `registry_key` is the registry's public key in base64, to which the chain `registry_keys` leads;
    `sign` returns the Ed25519 signature (64 bytes, RFC 8032) that belongs to it. `secrets` maps key
    ids to base64 keys.
    """
    plan_json, secrets_json = codec.encode(plan), codec.encode(dict(secrets))
    manifest = codec.encode(
        Manifest(
            format=package_format,
            uvn=plan.uvn,
            identity=plan.identity,
            cell=plan.cell,
            cell_name=plan.name,
            generation=generation,
            registry_key=registry_key,
            registry_keys=registry_keys,
            digests=_digests(roster, particles, plan_json, secrets_json),
        )
    )
    head = _entry(_MANIFEST, manifest) + _entry(_SIGNATURE, sign(manifest))
    tail = _entry(PLAN, plan_json) + _entry(SECRETS, secrets_json) + _END
    return b"".join((_gzip(head), roster.packed, particles.packed, _gzip(tail)))


def read(content: bytes, *, registry_key: str | None = None) -> Package:
    """Return what is in a package, after checking all of it.

    The signature must be of the registry with `registry_key`, a key or fingerprint; without one, of
    the registry that the package names. Raises PackageRejected, and nothing else, for any bytes.
    """
    manifest, rest = _read_head(content, registry_key)
    package = _read_members(manifest, rest)
    if reason := _disagreement(package):
        raise PackageRejected(f"this package contradicts itself: {reason}", _MAKE_AGAIN)
    return package


def read_manifest(content: bytes, *, registry_key: str | None = None) -> Manifest:
    """Return the verified manifest of a package, and the rest, still packed.

    Raises as `read` does, which is to be called before anything in the package is used.
    """
    manifest, _ = _read_head(content, registry_key)
    return manifest


def read_proof(content: bytes) -> SignedManifest:
    """Return the signed manifest of a package, for a registry that does not have the package.

    Raises as `read` does.
    """
    _read_head(content, None)
    head, _ = _gunzip(content, limit=_HEAD_LIMIT)
    manifest, signature = _members(head, (_MANIFEST, _SIGNATURE))
    return SignedManifest(manifest=manifest, signature=signature)


def read_proven(proof: SignedManifest, *, registry_key: str) -> Manifest:
    """Return the manifest that `proof` shows to be signed with `registry_key`, in base64.

    Raises PackageRejected, and nothing else, for any bytes.
    """
    manifest = _read_manifest(proof.manifest)
    if manifest.registry_key != registry_key:
        raise PackageRejected("a manifest is of another registry")
    _verify(manifest, proof.manifest, proof.signature)
    return manifest


def fingerprint(registry_key: str) -> str:
    """Return what people compare instead of a base64 key: `SHA256:…`, as OpenSSH writes its own."""
    digest = hashlib.sha256(_key(registry_key) or registry_key.encode()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def is_key(registry_key: str, expected: str) -> bool:
    """Whether `expected` is that key, or its fingerprint."""
    return expected.strip().rstrip("=") in {registry_key.rstrip("="), fingerprint(registry_key)}


_COPY_AGAIN = "copy it from the registry again"
_MAKE_AGAIN = "make it again on the registry, with the same version of uno"


class _Format(Struct):
    """What the manifests of all formats have."""

    format: int


def _damaged(reason: str) -> PackageRejected:
    return PackageRejected(
        f"this is not a whole {SUFFIX} package: {reason}", f"if it should be one, {_COPY_AGAIN}"
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digests(roster: Segment, particles: Segment, plan: bytes, secrets: bytes) -> dict[str, str]:
    return {
        ROSTER: roster.digest,
        PARTICLES: particles.digest,
        PLAN: _digest(plan),
        SECRETS: _digest(secrets),
    }


def _gzip(content: bytes, level: int = 1) -> bytes:
    # zlib's own gzip header has no name and no time, unlike the gzip module's by default.
    stream = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


def _gunzip(content: bytes, *, limit: int) -> tuple[bytes, bytes]:
    """Unpack the first gzip member; return what was in it and what follows it."""
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = stream.decompress(content, limit + 1)
    except zlib.error as error:
        raise _damaged("it does not unpack") from error
    if len(unpacked) > limit:
        raise _damaged("it unpacks to more than a package can hold")
    if not stream.eof:
        raise _damaged("its end is missing")
    return unpacked, stream.unused_data


def _entry(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + bytes(-len(content) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    """Return the ustar header (POSIX.1-1988) of a regular file of root's, mode 0600, time 0."""
    before = name.encode().ljust(100, b"\0") + b"0000600\0" + 2 * b"0000000\0"
    before += b"%011o\0%011o\0" % (size, 0)
    after = b"0".ljust(101, b"\0") + b"ustar\x0000" + bytes(64) + 2 * b"0000000\0" + bytes(167)
    # The checksum counts its own field as eight spaces.
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * 32) + after


def _members(tar: bytes, names: tuple[str, ...], *, end: bytes = b"") -> list[bytes]:
    """Return the contents of exactly the members `names`, in that order."""
    found: list[bytes] = []
    at = 0
    for name in names:
        header = tar[at : at + _BLOCK]
        size = _size(header)
        if size is None or header != _header(name, size):
            raise _damaged(f"{name} is missing, or not where it should be")
        at += _BLOCK
        found.append(tar[at : at + size])
        at += size
        padding = bytes(-size % _BLOCK)
        if tar[at : at + len(padding)] != padding or at + len(padding) > len(tar):
            raise _damaged(f"{name} is not complete")
        at += len(padding)
    if tar[at:] != end:
        raise _damaged("it has unexpected content")
    return found


def _size(header: bytes) -> int | None:
    digits = header[124:135]
    if len(digits) == 11 and not digits.strip(b"01234567"):
        return int(digits, 8)
    return None


def _read_head(content: bytes, registry_key: str | None) -> tuple[Manifest, bytes]:
    """Return the manifest, believed, and what is packed behind it."""
    if len(content) > PACKED_LIMIT:
        raise _damaged(f"it is larger than {PACKED_LIMIT >> 20} MiB")
    head, rest = _gunzip(content, limit=_HEAD_LIMIT)
    manifest_json, signature = _members(head, (_MANIFEST, _SIGNATURE))
    manifest = _read_manifest(manifest_json)
    if registry_key is not None and not is_key(manifest.registry_key, registry_key):
        raise PackageRejected(
            f"this package of UVN {manifest.uvn} was signed by another registry, with the key"
            f" {fingerprint(manifest.registry_key)}",
            "use the package that your own registry made",
        )
    _verify(manifest, manifest_json, signature)
    return manifest, rest


def _read_manifest(content: bytes) -> Manifest:
    try:
        _require_format(codec.decode(content, _Format).format)
        manifest = codec.decode(content, Manifest)
    except codec.MalformedJson as error:
        raise _damaged(f"{_MANIFEST} is not readable") from error
    names = (manifest.uvn, manifest.identity, manifest.cell_name)
    # They are shown before the package is trusted.
    if not all(name.isprintable() and 0 < len(name) < 256 for name in names):
        raise _damaged(f"{_MANIFEST} has names that are not printable")
    return replace(manifest, content=_digest(content)[:16])


def _require_format(found: int) -> None:
    readable = package_formats.readable(package_formats.FORMAT)
    if found in readable:
        return
    names = " and ".join(map(str, readable))
    one = "format" if len(readable) == 1 else "formats"
    is_newer = found > readable[-1]
    raise OtherFormat(
        f"this package has format {found}, and this uno reads {one} {names}",
        "update uno on this host to the version that the registry has"
        if is_newer
        else "copy the cell's newest package from the registry, and install it with: uno install",
    )


def _verify(manifest: Manifest, signed: bytes, signature: bytes) -> None:
    # Imported where it is needed, since `uno --help` has to be quick.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    key = _key(manifest.registry_key)
    if key is None:
        raise _damaged("its registry's key is not a key")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        raise PackageRejected(
            f"the signature of this package of cell {manifest.cell_name} is not its registry's",
            f"the package was changed on its way: {_COPY_AGAIN}, by a way that you trust",
        ) from error


def _read_members(manifest: Manifest, packed: bytes) -> Package:
    names = (ROSTER, PARTICLES, PLAN, SECRETS)
    if set(manifest.digests) != set(names):
        raise _damaged(f"{_MANIFEST} lists other members")
    roster_tar, packed = _gunzip(packed, limit=UNPACKED_LIMIT)
    particles_tar, packed = _gunzip(packed, limit=UNPACKED_LIMIT - len(roster_tar))
    room = UNPACKED_LIMIT - len(roster_tar) - len(particles_tar)
    tail, packed = _gunzip(packed, limit=room)
    if packed:
        raise _damaged("something follows its end")
    contents = (
        *_members(roster_tar, (ROSTER,)),
        *_members(particles_tar, (PARTICLES,)),
        *_members(tail, (PLAN, SECRETS), end=_END),
    )
    for name, content in zip(names, contents, strict=True):
        if _digest(content) != manifest.digests[name]:
            raise _damaged(f"{name} is not what was signed")
    try:
        return Package(
            manifest=manifest,
            roster=codec.decode(contents[0], Roster),
            particles=codec.decode(contents[1], tuple[ParticlePeer, ...]),
            plan=codec.decode(contents[2], CellPlan),
            secrets=codec.decode(contents[3], dict[str, str]),
        )
    except codec.MalformedJson as error:
        raise PackageRejected("this package has values that cannot be", _MAKE_AGAIN) from error


def _disagreement(package: Package) -> str | None:
    """Return in what the parts of a package contradict each other, if they do."""
    manifest, plan, roster = package.manifest, package.plan, package.roster
    if (plan.uvn, plan.identity) != (manifest.uvn, manifest.identity):
        return "its plan is of another UVN"
    if (roster.uvn, roster.identity) != (manifest.uvn, manifest.identity):
        return "its roster is of another UVN"
    if (plan.cell, plan.name) != (manifest.cell, manifest.cell_name):
        return "its plan is for another cell"
    if not any((it.id, it.name) == (plan.cell, plan.name) for it in roster.members):
        return f"its roster does not have cell {plan.name}"
    wrong = [key for key in _needed(plan) if _key(package.secrets.get(key, "")) is None]
    return f"the key {min(wrong)} is missing or is not a key" if wrong else None


def _needed(plan: CellPlan) -> set[str]:
    """Return the ids of the keys that `plan` names."""
    needed = {key for link in plan.links for key in (link.key, link.psk)}
    if plan.root:
        needed |= {plan.root.key, plan.root.psk}
    if plan.particles:
        needed.add(plan.particles.key)
    return needed


def _key(text: str) -> bytes | None:
    """Return the 32 bytes that `text` is the base64 of, if it is."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == 32 else None
