"""The bus on RTI Connext DDS. The only module that imports it.

Topics, partitions, QoS and bytes are those of `uno.bus.cyclone`. RTI's library creates no
participant without a licence, so uno's tests have none. Tested: the bytes, in both directions; that
Connext accepts each QoS setting below, and its resulting value; and the errors. Not tested is all
communication: discovery and delivery between participants; the names of the properties in
`_properties`, which Connext checks when it creates a participant; that a licence is accepted; and
that a participant can ignore itself. All cells of a UVN use one middleware. Connext and Cyclone
probably interoperate, as their bytes are equal; that is not tested either.
"""

# Without `from __future__ import annotations`: Connext evaluates the annotations of its types.

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rti.connextdds as dds
import rti.types as idl
from rti.connextdds import compliance

from uno.bus import wire
from uno.bus.session import (
    BATCH,
    DATAGRAM,
    DISCOVERY_INTERVAL,
    LICENCE_VARIABLE,
    PARTICIPANT_LEASE,
    WRITER_LEASE,
    Post,
    cannot_open,
    keyed,
    reader_depth,
    require_licence,
)
from uno.bus.wire import MemberId
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import SIGNATURE_SIZE, Envelope
from uno.ports.bus import BusConfig, BusPeer, Channel, Presence, Received, Topic

_log = logging.getLogger(__name__)

# Serialize as in DDS-XTypes 1.3, with headers on sequences of XCDR version 2 as Cyclone has them;
# the default is that of older versions of Connext. To be set before any entity is created.
compliance.set_xtypes_mask(compliance.XTypesMask(0x1A9))

_PAUSE = 1.0


def _octets() -> Any:
    return field(default_factory=idl.array_factory(idl.uint8))


@idl.struct(  # type: ignore[no-untyped-call]
    type_annotations=[
        idl.type_name(wire.TYPE_NAME),
        idl.mutable,
        idl.allowed_data_representation(xcdr1=False, xcdr2=True),  # type: ignore[no-untyped-call]
    ],
    member_annotations={
        "subject": [idl.key, idl.id(MemberId.SUBJECT)],
        "kind": [idl.id(MemberId.KIND)],
        "sequence": [idl.id(MemberId.SEQUENCE)],
        "relayed_by": [idl.id(MemberId.RELAYED_BY)],
        "body": [idl.id(MemberId.BODY), idl.unbounded],
        "signature": [idl.id(MemberId.SIGNATURE), idl.bound(SIGNATURE_SIZE)],
    },
)
class ConnextSample:
    """The sample type of Connext."""

    subject: idl.uint32 = 0  # type: ignore[assignment]
    kind: idl.uint16 = 0  # type: ignore[assignment]
    sequence: idl.uint64 = 0  # type: ignore[assignment]
    relayed_by: idl.uint32 = 0  # type: ignore[assignment]
    body: Sequence[idl.uint8] = _octets()
    signature: Sequence[idl.uint8] = _octets()


def to_sample(envelope: Envelope) -> ConnextSample:
    """Return the sample of an envelope."""
    made: Any = ConnextSample
    return made(  # type: ignore[no-any-return]
        subject=envelope.subject,
        kind=envelope.kind,
        sequence=envelope.sequence,
        relayed_by=envelope.relayed_by,
        body=dds.Uint8Seq(envelope.body),
        signature=dds.Uint8Seq(envelope.signature),
    )


def to_envelope(sample: ConnextSample) -> Envelope:
    """Return the envelope in a sample."""
    return Envelope(
        subject=sample.subject,
        kind=sample.kind,
        sequence=sample.sequence,
        relayed_by=sample.relayed_by,
        body=bytes(sample.body),
        signature=bytes(sample.signature),
    )


def participant_qos(config: BusConfig) -> dds.DomainParticipantQos:
    """Return the QoS of a participant: unicast only, on one address and fixed ports."""
    qos = dds.DomainParticipantQos()
    qos.transport_builtin.mask = dds.TransportBuiltinMask.UDPv4
    qos.discovery.initial_peers = dds.StringSeq([_peer(it) for it in config.peers])
    qos.discovery.multicast_receive_addresses = dds.StringSeq()
    qos.discovery.accept_unknown_peers = True
    qos.wire_protocol.participant_id = config.index
    qos.discovery_config.participant_liveliness_lease_duration = dds.Duration(PARTICIPANT_LEASE)
    qos.discovery_config.participant_liveliness_assert_period = dds.Duration(DISCOVERY_INTERVAL)
    # All participants have the type; its description does not fit into one datagram.
    qos.resource_limits.type_object_max_serialized_length = 0
    qos.resource_limits.type_code_max_serialized_length = 0
    for name, value in _properties(config):
        qos.property[name] = value
    return qos


def writer_qos() -> dds.DataWriterQos:
    """Return the QoS of writers. What an agent wrote stays valid after it leaves."""
    qos = dds.DataWriterQos()
    _set_common(qos)
    qos.reliability.max_blocking_time = dds.Duration(0, 100_000_000)
    qos.data_representation.value = dds.Int16Seq([dds.DataRepresentation.XCDR2])
    # Packages are larger than a datagram, and only asynchronous writers fragment.
    qos.publish_mode = dds.PublishMode.asynchronous()
    qos.writer_data_lifecycle.autodispose_unregistered_instances = False
    qos.protocol.serialize_key_with_dispose = True
    return qos


def reader_qos(topic: Topic) -> dds.DataReaderQos:
    """Return the QoS of the readers of a topic."""
    qos = dds.DataReaderQos()
    _set_common(qos)
    qos.history.depth = reader_depth(topic)
    qos.data_representation.value = dds.Int16Seq([dds.DataRepresentation.XCDR2])
    return qos


@dataclass(slots=True, eq=False)
class _ConnextReader:
    channel: Channel
    entity: Any
    condition: Any
    alive: int = 0


class ConnextSession:
    """One Connext participant, and the thread that takes samples."""

    def __init__(self, config: BusConfig, post: Post) -> None:
        self._post = post
        self._participant = _participant(config)
        self._topics: dict[str, Any] = {}
        self._readers: list[_ConnextReader] = []
        self._writers: dict[Channel, tuple[Any, Any]] = {}
        self._stop = threading.Event()
        self._waitset, self._wake = dds.WaitSet(), dds.GuardCondition()
        self._waitset.attach_condition(self._wake)
        self._thread = threading.Thread(target=self._run, name="uno-bus", daemon=True)
        self._thread.start()

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        with _explained(f"read {channel.topic}"):
            qos = dds.SubscriberQos()
            qos.partition.name = dds.StringSeq([channel.partition])
            subscriber = dds.Subscriber(self._participant, qos)
            entity = dds.DataReader(subscriber, self._topic(channel), reader_qos(channel.topic))
            condition = dds.ReadCondition(entity, dds.DataState.any_data)
            liveliness = dds.StatusCondition(entity)
            liveliness.enabled_statuses = dds.StatusMask.LIVELINESS_CHANGED
            self._readers.append(_ConnextReader(channel, entity, condition))
            self._waitset.attach_condition(condition)
            self._waitset.attach_condition(liveliness)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel; the first write creates the writer."""
        with _explained(f"write to {channel.topic}"):
            if channel not in self._writers:
                qos = dds.PublisherQos()
                qos.partition.name = dds.StringSeq([channel.partition])
                publisher = dds.Publisher(self._participant, qos)
                writer = dds.DataWriter(publisher, self._topic(channel), writer_qos())
                self._writers[channel] = publisher, writer
            self._writers[channel][1].write(to_sample(envelope))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Dispose of the envelope about a subject."""
        with _explained(f"withdraw from {channel.topic}"):
            writer = self._writers[channel][1]
            writer.dispose_instance(writer.lookup_instance(to_sample(keyed(subject))))

    def delete_writer(self, channel: Channel) -> None:
        """Delete the writer of a channel with all that it wrote."""
        publisher, writer = self._writers.pop(channel)
        writer.close()
        publisher.close()

    def close(self, *, within: float) -> None:  # noqa: ARG002 - without waiting
        """Delete the participant. Nothing is posted after this returns."""
        self._stop.set()
        self._wake.trigger_value = True
        self._thread.join()
        self._waitset.detach_all()
        self._participant.close_contained_entities()
        self._participant.close()

    def _topic(self, channel: Channel) -> Any:
        name = channel.topic.value
        if name not in self._topics:
            self._topics[name] = dds.Topic(self._participant, name, ConnextSample)
        return self._topics[name]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._waitset.wait()
                for reader in tuple(self._readers):
                    self._take(reader)
            except dds.Exception as error:
                _log.warning("the bus cannot receive; retrying: %s", error)
                self._stop.wait(_PAUSE)

    def _take(self, reader: _ConnextReader) -> None:
        alive = reader.entity.liveliness_changed_status.alive_count
        if alive != reader.alive:
            reader.alive = alive
            self._post([Presence(reader.channel, alive)])
        selected = reader.entity.select().condition(reader.condition).max_samples(BATCH)
        while samples := selected.take():
            envelopes = [to_envelope(content) for content, info in samples if info.valid]
            if envelopes and not self._post([Received(reader.channel, it) for it in envelopes]):
                return


def _participant(config: BusConfig) -> dds.DomainParticipant:
    """Return a new participant. Raises `UnoError`, among others without a valid licence."""
    require_licence(config)
    os.environ[LICENCE_VARIABLE] = config.licence or ""
    logged: list[str] = []
    # Without a handler Connext prints to standard error. A handler that is set when Python exits
    # makes it abort.
    dds.Logger.instance.output_handler(logged.append)
    try:
        participant = dds.DomainParticipant(config.domain, participant_qos(config))
    except dds.Exception as error:
        raise _refused(config, " ".join(" ".join(logged).split()) or str(error)) from error
    finally:
        dds.Logger.instance.reset_output_handler()
    participant.ignore_participant(participant.instance_handle)
    return participant


def _refused(config: BusConfig, message: str) -> UnoError:
    if "LICENSE" not in message.upper():
        return cannot_open(config, message)
    return ActionNeeded(
        f"RTI Connext DDS does not accept the licence {config.licence}: {message}",
        f"set {LICENCE_VARIABLE} to the path of a valid licence for version 7",
    )


def _set_common(qos: Any) -> None:
    qos.reliability.kind = dds.ReliabilityKind.RELIABLE
    qos.durability.kind = dds.DurabilityKind.TRANSIENT_LOCAL
    qos.history.kind = dds.HistoryKind.KEEP_LAST
    qos.history.depth = 1
    qos.liveliness.kind = dds.LivelinessKind.AUTOMATIC
    qos.liveliness.lease_duration = dds.Duration(WRITER_LEASE)


def _peer(peer: BusPeer) -> str:
    # In brackets: without them it means all indices up to this one.
    return f"[{peer.index}]@udpv4://{peer.address}"


def _properties(config: BusConfig) -> Iterator[tuple[str, str]]:
    yield "dds.domain_participant.domain_tag", config.tag
    transport = "dds.transport.UDPv4.builtin.parent"
    yield f"{transport}.allow_interfaces_list", str(config.address)
    yield f"{transport}.message_size_max", str(DATAGRAM)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except dds.Exception as error:
        raise TransientFailure(f"cannot {doing} on the bus: {error}") from error
