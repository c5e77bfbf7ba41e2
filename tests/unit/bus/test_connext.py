"""RTI Connext DDS without a licence, and therefore without a participant."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import rti.connextdds as dds
import rti.types as idl
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from uno.bus import connext, cyclone, wire
from uno.bus.connext import ConnextSample, ConnextSession, to_envelope, to_sample
from uno.bus.dds import DdsBus
from uno.bus.in_process import InProcess
from uno.bus.session import READER_DEPTH
from uno.diagnostics import UnoError
from uno.model.messages import Envelope
from uno.model.uvn import Middleware
from uno.ports.bus import REGISTRY_INDEX, BusConfig, BusEvent, BusPeer, Topic

ENVELOPES = some.builds(
    Envelope,
    subject=some.integers(0, 2**32 - 1),
    kind=some.integers(0, 2**16 - 1),
    sequence=some.integers(0, 2**64 - 1),
    relayed_by=some.integers(0, 2**32 - 1),
    body=some.binary(max_size=300),
    signature=some.binary(max_size=64),
)
CONFIG = BusConfig(
    domain=46,
    address=IPv4Address("127.0.0.1"),
    tag="uvn",
    index=0,
    peers=(BusPeer(IPv4Address("10.0.0.2")), BusPeer(IPv4Address("10.0.0.1"), REGISTRY_INDEX)),
)


@pytest.mark.feature("F099")
@given(ENVELOPES)
def test_both_middlewares_write_the_same_bytes_and_read_each_other(envelope: Envelope) -> None:
    connexts: Any = idl.get_type_support(ConnextSample)

    by_connext = bytes(connexts.serialize(to_sample(envelope)))
    by_cyclone = cyclone.CycloneSample(envelope).serialize()

    assert by_connext == by_cyclone
    assert cyclone.CycloneSample.deserialize(by_connext).envelope == envelope
    assert to_envelope(connexts.deserialize(by_cyclone)) == envelope


def test_a_whole_package_has_the_same_bytes_too() -> None:
    package = Envelope(
        subject=1,
        kind=3,
        sequence=1,
        relayed_by=0,
        body=bytes(range(256)) * 4000,
        signature=bytes(64),
    )
    connexts: Any = idl.get_type_support(ConnextSample)

    assert bytes(connexts.serialize(to_sample(package))) == wire.encode(package)
    assert to_envelope(connexts.deserialize(wire.encode(package))) == package


def test_a_participant_uses_unicast_to_its_peers_from_one_address() -> None:
    qos = connext.participant_qos(CONFIG)

    assert list(qos.discovery.initial_peers) == ["[0]@udpv4://10.0.0.2", "[1]@udpv4://10.0.0.1"]
    assert list(qos.discovery.multicast_receive_addresses) == []
    assert qos.discovery.accept_unknown_peers
    assert qos.transport_builtin.mask == dds.TransportBuiltinMask.UDPv4
    assert qos.wire_protocol.participant_id == 0
    settings = dict(qos.property.get_all())
    assert settings["dds.domain_participant.domain_tag"] == "uvn"
    transport = "dds.transport.UDPv4.builtin.parent"
    assert settings[f"{transport}.allow_interfaces_list"] == "127.0.0.1"
    assert settings[f"{transport}.message_size_max"] == "1252"


def test_ports_are_those_of_the_standard_as_with_cyclone() -> None:
    well_known = connext.participant_qos(CONFIG).wire_protocol.rtps_well_known_ports

    assert well_known.port_base == 7400
    assert well_known.domain_id_gain == 250
    assert well_known.participant_id_gain == 2
    assert well_known.builtin_unicast_port_offset == 10
    assert well_known.user_unicast_port_offset == 11


@pytest.mark.parametrize(
    ("qos", "depth"),
    [
        (connext.writer_qos(), 1),
        (connext.reader_qos(Topic.OFFER), 1),
        (connext.reader_qos(Topic.STATUS), READER_DEPTH),
    ],
    ids=["write", "read offers", "read what neighbours pass on"],
)
def test_both_ends_are_reliable_and_keep_the_newest(
    qos: dds.DataWriterQos | dds.DataReaderQos, depth: int
) -> None:
    assert qos.reliability.kind == dds.ReliabilityKind.RELIABLE
    assert qos.durability.kind == dds.DurabilityKind.TRANSIENT_LOCAL
    assert qos.history.kind == dds.HistoryKind.KEEP_LAST
    assert qos.history.depth == depth
    assert qos.liveliness.lease_duration == dds.Duration(5)
    assert list(qos.data_representation.value) == [dds.DataRepresentation.XCDR2]


def test_samples_stay_valid_after_the_writer_leaves() -> None:
    qos = connext.writer_qos()

    assert not qos.writer_data_lifecycle.autodispose_unregistered_instances
    assert qos.publish_mode.kind == dds.PublishModeKind.ASYNCHRONOUS


@pytest.mark.feature("F098")
def test_without_a_licence_there_is_one_error_that_names_the_variable(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = error_of(CONFIG)

    assert error.what == "RTI Connext DDS has no licence on this host"
    assert "RTI_LICENSE_FILE" in error.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.feature("F098")
def test_an_invalid_licence_is_one_error_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RTI_LICENSE_FILE", "to be put back")
    forged = tmp_path / "rti_license.dat"
    forged.write_text("not a licence\n")

    error = error_of(replace(CONFIG, licence=str(forged)))

    assert error.what.startswith(f"RTI Connext DDS does not accept the licence {forged}:")
    assert "RTI_LICENSE_FILE" in error.hint
    assert capfd.readouterr() == ("", "")


def error_of(config: BusConfig) -> UnoError:
    config = replace(config, middleware=Middleware.CONNEXT)

    async def scene() -> UnoError:
        with pytest.raises(UnoError) as raised:
            DdsBus(InProcess(ConnextSession)).configure(config, ignore)
        return raised.value

    return asyncio.run(scene())


def ignore(_event: BusEvent) -> None:
    pass
