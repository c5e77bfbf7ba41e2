"""The configuration of Cyclone DDS: unicast on one address, for tunnels that come and go.

Cyclone's manual (docs/manual/config) describes the settings. The defaults do not suit uno:

- `ExtendedPacketInfo` drops packets that arrive on another interface than the one with the
  address, which is all packets from tunnels.
- `PruneDelay` removes peers that are down for half a minute.
- A peer without a port is announced to on a hundred ports.
- `WriterLingerDuration` makes each writer, one after the other, wait a second for unreachable
  readers when it is deleted.
- `MaxSampleSize` bounds the memory that one sender can occupy.
"""

from __future__ import annotations

from html import escape

from uno.bus.session import DATAGRAM, DISCOVERY_INTERVAL, PARTICIPANT_LEASE
from uno.model.messages import BODY_LIMIT
from uno.ports.bus import BusConfig, BusPeer, ports

# A fragment shares a datagram with headers of RTPS (20 bytes), destination (16), timestamp (12) and
# fragment (36), inline QoS, and a heartbeat (32) that Cyclone appends regardless of the limit
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
        f"<SPDPInterval>{DISCOVERY_INTERVAL} s</SPDPInterval>"
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
