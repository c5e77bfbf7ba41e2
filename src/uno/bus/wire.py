"""Envelopes as bytes: XCDR version 2, little-endian, of the mutable type `uno::Envelope`.

Equal to what a DDS implementation serializes for

    @mutable struct Envelope {
        @key @id(1) uint32 subject;     @id(2) uint16 kind;              @id(3) uint64 sequence;
        @id(4) uint32 relayed_by;       @id(5) sequence<octet> body;
        @id(6) sequence<octet, 64> signature;
    };

(DDS-XTypes 1.3, section 7.4.3); tests compare it with the serializers of both vendors. Cyclone's
serializer in Python takes 80 ms for a megabyte of octets, one by one; this one copies it once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from uno.model.messages import BODY_LIMIT, SIGNATURE_SIZE, Envelope

TYPE_NAME = "uno::Envelope"

# The encapsulation header: PL_CDR2_LE (DDS-XTypes 1.3, section 7.6.3.1.2) and no options.
_HEADER: Final = b"\x00\x0b\x00\x00"
_HEADER_SIZE = 4


class MemberId(IntEnum):
    """Member ids. They are on the wire and are never reused."""

    SUBJECT = 1
    KIND = 2
    SEQUENCE = 3
    RELAYED_BY = 4
    BODY = 5
    SIGNATURE = 6


class MalformedSample(ValueError):
    """The bytes are not an envelope."""


def encode(envelope: Envelope) -> bytes:
    """Return the serialized envelope, its encapsulation header included.

    Raises `MalformedSample` for a number out of range, or a body or signature that is too long.
    """
    body = envelope.body
    if len(body) > BODY_LIMIT or len(envelope.signature) > SIGNATURE_SIZE:
        raise MalformedSample("a message is too large")
    try:
        head = _FIXED.pack(
            _em(MemberId.SUBJECT, 2), envelope.subject,
            _em(MemberId.KIND, 1), envelope.kind,
            _em(MemberId.SEQUENCE, 3), envelope.sequence,
            _em(MemberId.RELAYED_BY, 2), envelope.relayed_by,
            _em(MemberId.BODY, _LENGTH_IS_ITS_OWN), len(body),
        )  # fmt: skip
        tail = _COUNTED.pack(_em(MemberId.SIGNATURE, _LENGTH_IS_ITS_OWN), len(envelope.signature))
    except struct.error as error:
        raise MalformedSample(str(error)) from error
    content = b"".join((head, body, bytes(-len(body) % 4), tail, envelope.signature))
    return _HEADER + len(content).to_bytes(4, "little") + content


def encode_key(subject: int) -> bytes:
    """Return the serialized key of all envelopes about one subject, with encapsulation header."""
    return _HEADER + struct.pack("<III", 8, _em(MemberId.SUBJECT, 2), subject)


def decode(data: bytes) -> Envelope:
    """Parse serialized bytes; members with other ids are ignored.

    Raises `MalformedSample`, and nothing else, for any bytes.
    """
    found = dict(_members(memoryview(data)))
    try:
        return Envelope(
            subject=_number(found[MemberId.SUBJECT], 4),
            kind=_number(found[MemberId.KIND], 2),
            sequence=_number(found[MemberId.SEQUENCE], 8),
            relayed_by=_number(found[MemberId.RELAYED_BY], 4),
            body=_octets(found[MemberId.BODY], most=BODY_LIMIT),
            signature=_octets(found[MemberId.SIGNATURE], most=SIGNATURE_SIZE),
        )
    except KeyError as error:
        raise MalformedSample(f"member {error} is missing") from error


# The length code of a sequence whose own octet count also gives the length of the member.
_LENGTH_IS_ITS_OWN = 5
_FIXED: Final = struct.Struct("<IIIH2xIQIIII")
_COUNTED: Final = struct.Struct("<II")
_MUST_UNDERSTAND = 1 << 31
_KNOWN = frozenset(MemberId)


def _em(member: MemberId, length_code: int) -> int:
    """Return the header of a member (DDS-XTypes 1.3, section 7.4.3.4.2)."""
    return length_code << 28 | member


def _members(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    if data[:2] != _HEADER[:2]:
        raise MalformedSample("not XCDR version 2 of a mutable type")
    end = _HEADER_SIZE + 4 + _uint32(data, _HEADER_SIZE)
    if end > len(data):
        raise MalformedSample("it is truncated")
    at = _HEADER_SIZE + 4
    while at < end:
        header = _uint32(data, at)
        code = header >> 28 & 7
        start, size = _extent(data, at + 4, code)
        if start + size > end:
            raise MalformedSample("a member is truncated")
        member = header & 0x0FFFFFFF
        if header & _MUST_UNDERSTAND and member not in _KNOWN:
            raise MalformedSample(f"member {member} is from a newer version and must be understood")
        yield member, data[start : start + size]
        at = start + size + -size % 4


def _extent(data: memoryview, at: int, code: int) -> tuple[int, int]:
    """Return the offset and size of a member's value, by its length code."""
    if code < 4:
        return at, 1 << code
    size = _uint32(data, at) << (0, 0, 2, 3)[code - 4]
    # From code 5 on, the number is the sequence's own count and belongs to the member.
    return (at, size + 4) if code > 4 else (at + 4, size)


def _uint32(data: memoryview, at: int) -> int:
    octets = data[at : at + 4]
    if len(octets) != 4:
        raise MalformedSample("it is truncated")
    return int.from_bytes(octets, "little")


def _number(member: memoryview, size: int) -> int:
    if len(member) != size:
        raise MalformedSample("a number has the wrong size")
    return int.from_bytes(member, "little")


def _octets(member: memoryview, *, most: int) -> bytes:
    size = _uint32(member, 0)
    if size != len(member) - 4 or size > most:
        raise MalformedSample("a sequence has the wrong size")
    return bytes(member[4:])
