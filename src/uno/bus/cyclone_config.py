"""How Cyclone DDS is configured: unicast only, on one address, for tunnels that come and go.

The settings are explained in Cyclone's manual, docs/manual/config. Those that matter here:

- `ExtendedPacketInfo` would drop what comes in by another interface than the one that has the
  address, which is all that comes through tunnels.
- `PruneDelay` would forget peers that are down for half a minute.
- A peer without a port would be called on a hundred.
- `WriterLingerDuration` would have each writer, one after the other, wait a second for somebody who
  is out of reach when it is deleted.
- `MaxSampleSize` is how much of memory one sender can have.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from uno.bus.dds import CALL_INTERVAL, DATAGRAM, PARTICIPANT_LEASE
from uno.ports.bus import BusConfig, BusPeer, ports
from uno.statesync.envelope import BODY_LIMIT

# A fragment is one datagram with 20 bytes of RTPS, 16 of a destination, 12 of a time, 36 of its own
# header, room for inline QoS, and a heartbeat of 32 that Cyclone appends whatever the limit is
# (RTPS 2.5, section 9.4).
_FRAGMENT = DATAGRAM - 160
_SAMPLE = BODY_LIMIT + 4096


def xml(config: BusConfig) -> str:
    """Return the configuration of a Cyclone domain for `config`."""
    peers = "".join(_peer(config.domain, peer) for peer in config.peers)
    return (
        '<CycloneDDS xmlns="https://cdds.io/config"><Domain Id="any">'
        "<General>"
        f'<Interfaces><NetworkInterface address="{config.address}" multicast="false"/></Interfaces>'
        "<AllowMulticast>false</AllowMulticast>"
        f"<MaxMessageSize>{DATAGRAM} B</MaxMessageSize>"
        f"<FragmentSize>{_FRAGMENT} B</FragmentSize>"
        "</General>"
        "<Discovery>"
        f"<ExternalDomainId>{config.domain}</ExternalDomainId>"
        f"<Tag>{escape(config.tag)}</Tag>"
        f"<ParticipantIndex>{config.index}</ParticipantIndex>"
        f"<MaxAutoParticipantIndex>{config.index}</MaxAutoParticipantIndex>"
        f'<Peers AddLocalhost="false">{peers}</Peers>'
        f"<LeaseDuration>{PARTICIPANT_LEASE} s</LeaseDuration>"
        f"<SPDPInterval>{CALL_INTERVAL} s</SPDPInterval>"
        "</Discovery>"
        "<Internal>"
        "<ExtendedPacketInfo>false</ExtendedPacketInfo>"
        "<WriterLingerDuration>0 s</WriterLingerDuration>"
        f"<MaxSampleSize>{_SAMPLE} B</MaxSampleSize>"
        "</Internal>"
        "</Domain></CycloneDDS>"
    )


def _peer(domain: int, peer: BusPeer) -> str:
    discovery, _ = ports(domain, peer.index)
    return f'<Peer Address="{peer.address}:{discovery}" PruneDelay="inf"/>'
