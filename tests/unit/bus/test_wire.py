"""The bytes of an envelope equal those of both vendors; all others are malformed."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from uno.bus import wire
from uno.bus.cyclone import CycloneSample
from uno.model.messages import BODY_LIMIT, Envelope

ENVELOPES = some.builds(
    Envelope,
    subject=some.integers(0, 2**32 - 1),
    kind=some.integers(0, 2**16 - 1),
    sequence=some.integers(0, 2**64 - 1),
    relayed_by=some.integers(0, 2**32 - 1),
    body=some.binary(max_size=300),
    signature=some.binary(max_size=64),
)


@given(ENVELOPES)
def test_an_envelope_survives_a_round_trip(envelope: Envelope) -> None:
    assert wire.decode(wire.encode(envelope)) == envelope


@given(ENVELOPES)
def test_the_bytes_equal_those_of_cyclone(envelope: Envelope) -> None:
    declared: Any = CycloneSample.__idl__
    members = SimpleNamespace(
        **{name: getattr(envelope, name) for name in Envelope.__struct_fields__}
    )

    theirs = declared.serialize(members, use_version_2=True)

    assert wire.encode(envelope) == theirs
    key = declared.serialize_key(members, use_version_2=True)
    assert wire.encode_key(envelope.subject)[4:] == key


@given(some.binary(max_size=200))
@example(b"")
@example(b"\x00\x0b\x00\x00")
@example(b"\x00\x0b\x00\x00\xff\xff\xff\xff")
@example(b"\x00\x0b\x00\x00\x04\x00\x00\x00\x05\x00\x00\x70")
def test_any_other_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(wire.MalformedSample):
        wire.decode(data)


@settings(max_examples=300)
@given(ENVELOPES, some.randoms(use_true_random=False))
def test_altered_bytes_are_malformed_or_another_envelope(
    envelope: Envelope, chance: random.Random
) -> None:
    data = bytearray(wire.encode(envelope))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)

    try:
        decoded = wire.decode(bytes(data))
    except wire.MalformedSample:
        return

    assert isinstance(decoded, Envelope)


def test_an_unknown_member_is_ignored() -> None:
    newer = with_member(wire.encode(ENVELOPE), b"\x07\x00\x00\x20" + b"abcd")

    assert wire.decode(newer) == ENVELOPE


def test_an_unknown_member_that_must_be_understood_is_malformed() -> None:
    newer = with_member(wire.encode(ENVELOPE), b"\x07\x00\x00\xa0" + b"abcd")

    with pytest.raises(wire.MalformedSample, match="newer version"):
        wire.decode(newer)


def test_a_missing_member_is_malformed() -> None:
    with pytest.raises(wire.MalformedSample, match="missing"):
        wire.decode(wire.encode_key(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": 2**32},
        {"subject": -1},
        {"signature": bytes(65)},
        {"body": bytes(BODY_LIMIT + 1)},
    ],
    ids=["too much", "too little", "signature", "body"],
)
def test_values_out_of_range_are_not_serialized(wrong: dict[str, Any]) -> None:
    fields = {name: getattr(ENVELOPE, name) for name in Envelope.__struct_fields__}

    with pytest.raises(wire.MalformedSample):
        wire.encode(Envelope(**(fields | wrong)))


def with_member(data: bytes, member: bytes) -> bytes:
    content = data[8:] + bytes(-len(data) % 4) + member
    return data[:4] + len(content).to_bytes(4, "little") + content


ENVELOPE = Envelope(subject=3, kind=2, sequence=7, relayed_by=4, body=b"{}", signature=bytes(64))
