"""The bus on RTI Connext DDS. The only module that imports it.

Topics, partitions, QoS and bytes are those of `uno.bus.cyclone`. RTI's library makes no participant
without a licence, so that no test of uno has one. Tested are: the bytes, both ways; that Connext
takes each QoS setting below, and what it is then; and the errors. Not tested is all that
communicates: that participants find each other and what they say comes through; the names of the
properties in `_properties`, which Connext looks at when it makes a participant; that a licence is
accepted; that a participant can ignore itself; and RTI's security plugins, which are a product of
their own. Cells of one UVN use one middleware: that Connext and Cyclone talk to each other is
likely, as their bytes are the same, and not tested either.
"""

# Without `from __future__ import annotations`: Connext takes those of its types as values.

import ctypes
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
from uno.bus.dds import (
    BATCH,
    CALL_INTERVAL,
    DATAGRAM,
    PARTICIPANT_LEASE,
    WRITER_LEASE,
    DdsBus,
    Post,
    cannot_open,
    secured,
    unread,
)
from uno.bus.wire import Member
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import Envelope
from uno.ports.bus import BusConfig, BusPeer, Channel, Presence, Received, Security, Topic
from uno.statesync.envelope import SIGNATURE_SIZE

_log = logging.getLogger(__name__)

LICENCE_VARIABLE = "RTI_LICENSE_FILE"

# Serialize as DDS-XTypes 1.3 says, and not as older versions of Connext did: sequences of XCDR
# version 2 with their headers, which Cyclone has, too. It has to be set before anything is made.
compliance.set_xtypes_mask(compliance.XTypesMask(0x1A9))

_PAUSE = 1.0


class ConnextBus(DdsBus):
    """`ports.bus.Bus` on RTI Connext DDS."""

    def __init__(self) -> None:
        """Not be on the bus, yet."""
        super().__init__(_ConnextSession)


def _octets() -> Any:
    return field(default_factory=idl.array_factory(idl.uint8))


@idl.struct(  # type: ignore[no-untyped-call]
    type_annotations=[
        idl.type_name(wire.TYPE_NAME),
        idl.mutable,
        idl.allowed_data_representation(xcdr1=False, xcdr2=True),  # type: ignore[no-untyped-call]
    ],
    member_annotations={
        "subject": [idl.key, idl.id(Member.SUBJECT)],
        "kind": [idl.id(Member.KIND)],
        "sequence": [idl.id(Member.SEQUENCE)],
        "relayed_by": [idl.id(Member.RELAYED_BY)],
        "body": [idl.id(Member.BODY), idl.unbounded],
        "signature": [idl.id(Member.SIGNATURE), idl.bound(SIGNATURE_SIZE)],
    },
)
class Sample:
    """An envelope as Connext has it."""

    subject: idl.uint32 = 0  # type: ignore[assignment]
    kind: idl.uint16 = 0  # type: ignore[assignment]
    sequence: idl.uint64 = 0  # type: ignore[assignment]
    relayed_by: idl.uint32 = 0  # type: ignore[assignment]
    body: Sequence[idl.uint8] = _octets()
    signature: Sequence[idl.uint8] = _octets()


def to_sample(envelope: Envelope) -> Sample:
    """Return an envelope as Connext has it."""
    made: Any = Sample
    return made(  # type: ignore[no-any-return]
        subject=envelope.subject,
        kind=envelope.kind,
        sequence=envelope.sequence,
        relayed_by=envelope.relayed_by,
        body=dds.Uint8Seq(envelope.body),
        signature=dds.Uint8Seq(envelope.signature),
    )


def to_envelope(sample: Sample) -> Envelope:
    """Return what came as an envelope."""
    return Envelope(
        subject=sample.subject,
        kind=sample.kind,
        sequence=sample.sequence,
        relayed_by=sample.relayed_by,
        body=bytes(sample.body),
        signature=bytes(sample.signature),
    )


def participant_qos(config: BusConfig) -> dds.DomainParticipantQos:
    """Return the settings of a participant: unicast only, on one address and at fixed ports."""
    qos = dds.DomainParticipantQos()
    qos.transport_builtin.mask = dds.TransportBuiltinMask.UDPv4
    qos.discovery.initial_peers = dds.StringSeq([_peer(it) for it in config.peers])
    qos.discovery.multicast_receive_addresses = dds.StringSeq()
    qos.discovery.accept_unknown_peers = True
    qos.wire_protocol.participant_id = config.index
    qos.discovery_config.participant_liveliness_lease_duration = dds.Duration(PARTICIPANT_LEASE)
    qos.discovery_config.participant_liveliness_assert_period = dds.Duration(CALL_INTERVAL)
    # The type is known to all; its description would not fit into one datagram.
    qos.resource_limits.type_object_max_serialized_length = 0
    qos.resource_limits.type_code_max_serialized_length = 0
    for name, value in _properties(config):
        qos.property[name] = value
    return qos


def writer_qos() -> dds.DataWriterQos:
    """Return the settings of all writers. What an agent wrote holds when it has left."""
    qos = dds.DataWriterQos()
    _set_common(qos)
    qos.reliability.max_blocking_time = dds.Duration(0, 100_000_000)
    qos.data_representation.value = dds.Int16Seq([dds.DataRepresentation.XCDR2])
    # Packages are larger than a datagram, and only asynchronous writers take those apart.
    qos.publish_mode = dds.PublishMode.asynchronous()
    qos.writer_data_lifecycle.autodispose_unregistered_instances = False
    qos.protocol.serialize_key_with_dispose = True
    return qos


def reader_qos(topic: Topic) -> dds.DataReaderQos:
    """Return the settings of the readers of a topic."""
    qos = dds.DataReaderQos()
    _set_common(qos)
    qos.history.depth = unread(topic)
    qos.data_representation.value = dds.Int16Seq([dds.DataRepresentation.XCDR2])
    return qos


@dataclass(slots=True, eq=False)
class _Reader:
    channel: Channel
    entity: Any
    condition: Any
    alive: int = 0


class _ConnextSession:
    """One Connext participant, and the thread that takes what comes."""

    def __init__(self, config: BusConfig, post: Post) -> None:
        self._post = post
        self._participant = _participant(config)
        self._topics: dict[str, Any] = {}
        self._readers: list[_Reader] = []
        self._writers: dict[Channel, tuple[Any, Any]] = {}
        self._stop = threading.Event()
        self._waitset, self._wake = dds.WaitSet(), dds.GuardCondition()
        self._waitset.attach_condition(self._wake)
        self._thread = threading.Thread(target=self._run, name="uno-bus", daemon=True)
        self._thread.start()

    def subscribe(self, channel: Channel) -> None:
        """Read a channel."""
        with _explained(f"read {channel.topic}"):
            qos = dds.SubscriberQos()
            qos.partition.name = dds.StringSeq([channel.partition])
            subscriber = dds.Subscriber(self._participant, qos)
            entity = dds.DataReader(subscriber, self._topic(channel), reader_qos(channel.topic))
            condition = dds.ReadCondition(entity, dds.DataState.any_data)
            liveliness = dds.StatusCondition(entity)
            liveliness.enabled_statuses = dds.StatusMask.LIVELINESS_CHANGED
            self._readers.append(_Reader(channel, entity, condition))
            self._waitset.attach_condition(condition)
            self._waitset.attach_condition(liveliness)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel."""
        with _explained(f"write to {channel.topic}"):
            if channel not in self._writers:
                qos = dds.PublisherQos()
                qos.partition.name = dds.StringSeq([channel.partition])
                publisher = dds.Publisher(self._participant, qos)
                writer = dds.DataWriter(publisher, self._topic(channel), writer_qos())
                self._writers[channel] = publisher, writer
            self._writers[channel][1].write(to_sample(envelope))

    def withdraw(self, channel: Channel, envelope: Envelope) -> None:
        """Take one envelope back."""
        with _explained(f"take back from {channel.topic}"):
            writer = self._writers[channel][1]
            writer.dispose_instance(writer.lookup_instance(to_sample(envelope)))

    def abandon(self, channel: Channel) -> None:
        """Stop being a writer of a channel."""
        publisher, writer = self._writers.pop(channel)
        writer.close()
        publisher.close()

    def close(self, *, within: float) -> None:  # noqa: ARG002 - nobody is waited for
        """Leave. Nothing is posted any more when this returns."""
        self._stop.set()
        self._wake.trigger_value = True
        self._thread.join()
        self._waitset.detach_all()
        self._participant.close_contained_entities()
        self._participant.close()

    def _topic(self, channel: Channel) -> Any:
        name = channel.topic.value
        if name not in self._topics:
            self._topics[name] = dds.Topic(self._participant, name, Sample)
        return self._topics[name]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._waitset.wait()
                for reader in tuple(self._readers):
                    self._take(reader)
            except dds.Exception as error:
                _log.warning("the bus cannot receive, and tries again: %s", error)
                self._stop.wait(_PAUSE)

    def _take(self, reader: _Reader) -> None:
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
    """Return a new participant, which takes a licence, or raise what keeps it from being made."""
    if config.licence is None:
        raise ActionNeeded(
            "RTI Connext DDS has no licence on this host",
            f"set {LICENCE_VARIABLE} to the path of the licence file that RTI gave you, or have the"
            " owner set `middleware: cyclone` for the UVN, which needs none",
        )
    os.environ[LICENCE_VARIABLE] = config.licence
    said: list[str] = []
    # What Connext prints to standard error otherwise. A handler that is there when Python ends
    # makes it abort.
    dds.Logger.instance.output_handler(said.append)
    try:
        participant = dds.DomainParticipant(config.domain, participant_qos(config))
    except dds.Exception as error:
        raise _refused(config, " ".join(" ".join(said).split()) or str(error)) from error
    finally:
        dds.Logger.instance.reset_output_handler()
    participant.ignore_participant(participant.instance_handle)
    return participant


def _refused(config: BusConfig, said: str) -> UnoError:
    if "LICENSE" not in said.upper():
        return cannot_open(config, said)
    return ActionNeeded(
        f"RTI Connext DDS does not accept the licence {config.licence}: {said}",
        f"set {LICENCE_VARIABLE} to the path of a licence that is valid now, for version 7",
    )


def _set_common(qos: Any) -> None:
    qos.reliability.kind = dds.ReliabilityKind.RELIABLE
    qos.durability.kind = dds.DurabilityKind.TRANSIENT_LOCAL
    qos.history.kind = dds.HistoryKind.KEEP_LAST
    qos.history.depth = 1
    qos.liveliness.kind = dds.LivelinessKind.AUTOMATIC
    qos.liveliness.lease_duration = dds.Duration(WRITER_LEASE)


def _peer(peer: BusPeer) -> str:
    # In brackets, since without it is all indices up to that one.
    return f"[{peer.index}]@udpv4://{peer.address}"


def _properties(config: BusConfig) -> Iterator[tuple[str, str]]:
    yield "dds.domain_participant.domain_tag", config.tag
    transport = "dds.transport.UDPv4.builtin.parent"
    yield f"{transport}.allow_interfaces_list", str(config.address)
    yield f"{transport}.message_size_max", str(DATAGRAM)
    if config.security is not None:
        yield from _security(config.security)


def _security(files: Security) -> Iterator[tuple[str, str]]:
    library = "libnddssecurity.so"
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise ActionNeeded(
            "DDS security is on, and RTI's security plugins are not installed on this host",
            f"install RTI Security Plugins, so that {library} is found, or have the owner set"
            " `enable_dds_security: false`: what agents say is signed and sealed without it, too",
        ) from error
    suite = "com.rti.serv.secure"
    yield "com.rti.serv.load_plugin", suite
    yield f"{suite}.library", "nddssecurity"
    yield f"{suite}.create_function", "RTI_Security_PluginSuite_create"
    yield from secured(files)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except dds.Exception as error:
        raise TransientFailure(f"cannot {doing} on the bus: {error}") from error
