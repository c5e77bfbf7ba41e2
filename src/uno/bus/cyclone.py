"""The bus on Eclipse Cyclone DDS. The only module that imports it.

One thread waits for all readers of a session and takes their samples. There are no DDS listeners,
whose callbacks run before the Python objects are complete. The thread is at most one batch ahead of
the event loop.
"""

# Without `from __future__ import annotations`: Cyclone evaluates the annotations of its types.

import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Self

from cyclonedds.core import (
    DDSException,
    DDSStatus,
    Entity,
    GuardCondition,
    InstanceState,
    Policy,
    Qos,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct, annotations, types
from cyclonedds.pub import DataWriter, Publisher
from cyclonedds.sub import DataReader, Subscriber
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from msgspec import Struct

from uno.bus import wire
from uno.bus.cyclone_config import xml
from uno.bus.cyclone_warnings import DistinctWarnings, captured_stderr
from uno.bus.session import (
    ANNOUNCEMENT_LEASE,
    BATCH,
    WRITER_LEASE,
    Post,
    cannot_open,
    keyed,
    reader_depth,
)
from uno.bus.wire import MemberId
from uno.diagnostics import TransientFailure
from uno.model.messages import SIGNATURE_SIZE, Envelope
from uno.ports.bus import ANNOUNCEMENTS, BusConfig, Channel, Presence, Received

_log = logging.getLogger(__name__)

# Domains of one process need distinct ids; the wire carries the id of the configuration.
_ids = itertools.count()

# How often captured warnings are read if nothing else happens.
_WARNING_INTERVAL = duration(seconds=30)
# Seconds until a retry after an unexpected error.
_PAUSE = 1.0


@annotations.mutable
class CycloneSample(IdlStruct, typename=wire.TYPE_NAME.replace("::", ".")):
    """The sample type: an envelope that `wire` serializes.

    The members are declared for type matching, and to give Cyclone the key. `envelope` is None if
    the received bytes are malformed: an exception would lose the other samples of the same take.
    """

    subject: types.uint32
    annotations.key("subject")
    annotations.member_id("subject", MemberId.SUBJECT.value)
    kind: types.uint16
    annotations.member_id("kind", MemberId.KIND.value)
    sequence: types.uint64
    annotations.member_id("sequence", MemberId.SEQUENCE.value)
    relayed_by: types.uint32
    annotations.member_id("relayed_by", MemberId.RELAYED_BY.value)
    body: types.sequence[types.uint8]  # type: ignore[type-arg]
    annotations.member_id("body", MemberId.BODY.value)
    signature: types.sequence[types.uint8, SIGNATURE_SIZE]  # type: ignore[type-arg, valid-type]
    annotations.member_id("signature", MemberId.SIGNATURE.value)

    def __init__(self, envelope: Envelope | None = None) -> None:
        super().__init__()
        self.envelope = envelope

    def serialize(self, *_: object, **__: object) -> bytes:
        """Return the serialized sample."""
        assert self.envelope is not None, "a written sample has an envelope"
        return wire.encode(self.envelope)

    def serialize_key(self, *_: object, **__: object) -> bytes:
        """Return the serialized key."""
        assert self.envelope is not None, "a disposed sample has an envelope"
        return wire.encode_key(self.envelope.subject)

    @classmethod
    def deserialize(cls, data: bytes, *_: object, **__: object) -> Self:
        """Return the sample in received bytes."""
        try:
            return cls(wire.decode(data))
        except wire.MalformedSample:
            return cls()

    @classmethod
    def deserialize_key(cls, data: bytes, *_: object, **__: object) -> Self:  # noqa: ARG003
        """Return an empty sample: only disposals carry a bare key."""
        return cls()


# Cyclone imports the rest of itself for this, which it could not once the process is confined.
CycloneSample.__idl__.fill_type_data()

# Writes do not block: with KEEP_LAST a write replaces the sample that has not been sent.
_QOS = Qos(
    Policy.Reliability.Reliable(duration(milliseconds=100)),
    Policy.Durability.TransientLocal,
    Policy.History.KeepLast(1),
    Policy.DataRepresentation(use_xcdrv2_representation=True),
    Policy.Liveliness.Automatic(duration(seconds=WRITER_LEASE)),
)
# What an agent wrote stays valid after it leaves. It does not receive its own samples.
_WRITER_QOS = Qos(
    Policy.WriterDataLifecycle(autodispose=False), Policy.IgnoreLocal.Participant, base=_QOS
)
# When a writer is deleted, Cyclone 11.0.1 takes all others of its participant with the same lease
# for gone, until they write again, unless one has a shorter lease. So the writer whose presence
# counts has the shortest. Its readers accept it, as it is shorter than what they request.
_ANNOUNCEMENT_QOS = Qos(
    Policy.Liveliness.Automatic(duration(seconds=ANNOUNCEMENT_LEASE)), base=_WRITER_QOS
)


class _CycloneReader(Struct, eq=False):
    channel: Channel
    entity: Any
    condition: ReadCondition
    alive: int = 0
    is_reported: bool = False

    def report_malformed(self) -> None:
        """Log it once per channel: a sender of one malformed sample may send thousands."""
        if not self.is_reported:
            self.is_reported = True
            _log.warning("received malformed messages on %s", self.channel.topic)


class CycloneSession:
    """One Cyclone domain with one participant, and the thread that takes samples."""

    def __init__(self, config: BusConfig, post: Post) -> None:
        self._post = post
        self._entities: list[Entity] = []
        self._topics: dict[str, Any] = {}
        self._readers: list[_CycloneReader] = []
        self._writers: dict[Channel, tuple[Publisher, Any]] = {}
        self._stop = threading.Event()
        self._warnings = DistinctWarnings()
        try:
            self._open(config)
        except DDSException as error:
            self._delete_all()
            raise cannot_open(config, str(error)) from error
        self._thread = threading.Thread(target=self._run, name="uno-bus", daemon=True)
        self._thread.start()

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        with _explained(f"read {channel.topic}"):
            subscriber = self._keep(Subscriber(self._participant, qos=_partition(channel)))
            entity = self._keep(
                DataReader(subscriber, self._topic(channel), qos=_reader_qos(channel))
            )
            entity.set_status_mask(DDSStatus.LivelinessChanged)
            is_unread = SampleState.NotRead | ViewState.Any | InstanceState.Any
            condition = self._keep(ReadCondition(entity, is_unread))
            self._readers.append(_CycloneReader(channel, entity, condition))
            self._waitset.attach(condition)
            self._waitset.attach(entity)
            self._wake.set(True)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel; the first write creates the writer."""
        with _explained(f"write to {channel.topic}"):
            if channel not in self._writers:
                publisher = Publisher(self._participant, qos=_partition(channel))
                qos = _ANNOUNCEMENT_QOS if channel == ANNOUNCEMENTS else _WRITER_QOS
                writer = DataWriter(publisher, self._topic(channel), qos=qos)
                self._writers[channel] = publisher, writer
            self._writers[channel][1].write(CycloneSample(envelope))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Dispose of the envelope about a subject."""
        with _explained(f"withdraw from {channel.topic}"):
            self._writers[channel][1].dispose(CycloneSample(keyed(subject)))

    def delete_writer(self, channel: Channel) -> None:
        """Delete the writer of a channel with all that it wrote."""
        publisher, writer = self._writers.pop(channel)
        _delete(writer)
        _delete(publisher)

    def close(self, *, within: float) -> None:
        """Delete the participant. Nothing is posted after this returns.

        Waits up to `within` seconds for acknowledgements of what was written.
        """
        self._stop.set()
        self._wake.set(True)
        self._thread.join()
        if within > 0 and self._writers:
            writers = [writer for _, writer in self._writers.values()]
            with ThreadPoolExecutor(len(writers)) as pool:
                list(pool.map(lambda it: _await_acks(it, within=within), writers))
        self._delete_all()

    def _open(self, config: BusConfig) -> None:
        number = next(_ids)
        with captured_stderr():
            self._keep(Domain(number, xml(config)))
        self._participant = self._keep(DomainParticipant(number))
        self._waitset = self._keep(WaitSet(self._participant))
        self._wake = self._keep(GuardCondition(self._participant))
        self._waitset.attach(self._wake)

    def _keep(self, entity: Any) -> Any:
        self._entities.append(entity)
        return entity

    def _topic(self, channel: Channel) -> Any:
        name = channel.topic.value
        if name not in self._topics:
            self._topics[name] = self._keep(Topic(self._participant, name, CycloneSample, qos=_QOS))
        return self._topics[name]

    def _delete_all(self) -> None:
        # Without explicit deletion other nodes would only notice when the lease expires.
        for channel in list(self._writers):
            self.delete_writer(channel)
        self._readers.clear()
        while self._entities:
            _delete(self._entities.pop())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._waitset.wait(_WARNING_INTERVAL)
                self._wake.set(False)
                for reader in tuple(self._readers):
                    self._take(reader)
                for line in self._warnings.new():
                    _log.warning("Cyclone DDS (logged once per kind): %s", line)
            except DDSException as error:
                _log.warning("the bus cannot receive; retrying: %s", error)
                self._stop.wait(_PAUSE)

    def _take(self, reader: _CycloneReader) -> None:
        alive = reader.entity.get_liveliness_changed_status().alive_count
        if alive != reader.alive:
            reader.alive = alive
            self._post([Presence(reader.channel, alive)])
        while samples := reader.entity.take(BATCH, condition=reader.condition):
            # The rest are invalid samples: disposals.
            valid = [it for it in samples if isinstance(it, CycloneSample)]
            envelopes = [it.envelope for it in valid if it.envelope is not None]
            if len(envelopes) < len(valid):
                reader.report_malformed()
            if envelopes and not self._post([Received(reader.channel, it) for it in envelopes]):
                return


def _reader_qos(channel: Channel) -> Qos:
    kept = Policy.History.KeepLast(reader_depth(channel.topic))
    return Qos(Policy.IgnoreLocal.Participant, kept, base=_QOS)


def _partition(channel: Channel) -> Qos:
    return Qos(Policy.Partition([channel.partition]))


def _await_acks(writer: DataWriter[CycloneSample], *, within: float) -> None:
    # Where acknowledgements are missing, the binding's writer compares the result with an attribute
    # that no exception has.
    with suppress(DDSException, AttributeError):
        writer.wait_for_acks(duration(seconds=within))


def _delete(entity: Entity) -> None:
    """Delete an entity now, rather than when Python collects it; no effect the second time."""
    if isinstance(entity, WaitSet):
        entity.attached.clear()
    entity.__del__()


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except DDSException as error:
        raise TransientFailure(f"cannot {doing} on the bus: {error}") from error
