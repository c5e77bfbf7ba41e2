"""Options of the three kinds of WireGuard network, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


# Without slots, since a class takes them from one of its bases alone.
@dataclass(frozen=True, kw_only=True)
class RootVpnOptions:
    """The root VPN, between the registry and the cells."""

    enable_root_vpn: Annotated[
        bool | None,
        typer.Option(
            "--enable-root-vpn/--disable-root-vpn",
            help="Without it, a static UVN, deployed by packages alone.",
        ),
    ] = None
    root_vpn_push_port: Annotated[
        int | None,
        typer.Option("--root-vpn-push-port", help="UDP port of cells for the registry. [63448]"),
    ] = None
    root_vpn_pull_port: Annotated[
        int | None,
        typer.Option("--root-vpn-pull-port", help="UDP port of the registry for cells. [63447]"),
    ] = None
    root_vpn_subnet: Annotated[
        str | None,
        typer.Option("--root-vpn-subnet", metavar="A.B.C.D/N", help="[10.255.128.0/22]"),
    ] = None
    root_vpn_mtu: Annotated[int | None, typer.Option("--root-vpn-mtu", help="[1320]")] = None
    root_vpn_keepalive: Annotated[
        int | None, typer.Option("--root-vpn-keepalive", help="Seconds; 0: none. [25]")
    ] = None
    root_vpn_interface: Annotated[
        str | None, typer.Option("--root-vpn-interface", metavar="PATTERN", help="[uwg-v{}]")
    ] = None


@dataclass(frozen=True, kw_only=True)
class ParticlesVpnOptions:
    """The particle VPN, between cells and particles."""

    enable_particles_vpn: Annotated[
        bool | None,
        typer.Option(
            "--enable-particles-vpn/--disable-particles-vpn", help="Whether cells serve particles."
        ),
    ] = None
    particles_vpn_port: Annotated[
        int | None,
        typer.Option("--particles-vpn-port", help="UDP port of cells for particles. [63449]"),
    ] = None
    particles_vpn_subnet: Annotated[
        str | None,
        typer.Option("--particles-vpn-subnet", metavar="A.B.C.D/N", help="[10.254.0.0/16]"),
    ] = None
    particles_vpn_mtu: Annotated[int | None, typer.Option("--particles-vpn-mtu", help="[1320]")] = (
        None
    )
    particles_vpn_keepalive: Annotated[
        int | None, typer.Option("--particles-vpn-keepalive", help="Seconds; 0: none. [25]")
    ] = None
    particles_vpn_interface: Annotated[
        str | None, typer.Option("--particles-vpn-interface", metavar="PATTERN", help="[uwg-p{}]")
    ] = None
    particles_vpn_masquerade: Annotated[
        bool | None,
        typer.Option(
            "--particles-vpn-masquerade/--no-particles-vpn-masquerade",
            help="Whether particles go to the Internet by the cell's address.",
        ),
    ] = None
    particles_vpn_tunnel: Annotated[
        bool | None,
        typer.Option(
            "--particles-vpn-tunnel/--no-particles-vpn-tunnel",
            help="Whether all of a particle's traffic goes to its cell.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class BackboneVpnOptions:
    """The backbone, between cells."""

    backbone_vpn_port: Annotated[
        int | None,
        typer.Option("--backbone-vpn-port", help="First UDP port of links. [63550]"),
    ] = None
    backbone_vpn_subnet: Annotated[
        str | None,
        typer.Option("--backbone-vpn-subnet", metavar="A.B.C.D/N", help="[10.255.192.0/20]"),
    ] = None
    backbone_vpn_mtu: Annotated[int | None, typer.Option("--backbone-vpn-mtu", help="[1320]")] = (
        None
    )
    backbone_vpn_keepalive: Annotated[
        int | None, typer.Option("--backbone-vpn-keepalive", help="Seconds; 0: none. [25]")
    ] = None
    backbone_vpn_interface: Annotated[
        str | None, typer.Option("--backbone-vpn-interface", metavar="PATTERN", help="[uwg-b{}]")
    ] = None
    backbone_vpn_allowed_ips: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone-vpn-allowed-ips",
            metavar="A.B.C.D/N",
            help="What links carry beside the UVN's own; repeat for more.",
        ),
    ] = None
