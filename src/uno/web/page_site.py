"""What a page is of, a cell's package or the registry's definition, and what its process has. Pure.

The process has no key but those that passwords open.
"""

from __future__ import annotations

import hashlib
import hmac

from msgspec import Struct
from msgspec.structs import replace

from uno.model import web_access
from uno.model.net import Address, Network
from uno.model.package import Package
from uno.model.plan import CertificateFiles, Roster
from uno.model.status import CellView
from uno.model.web_access import ParticleSettings, WebAccess, WebUser


class PageSite(Struct, frozen=True, kw_only=True):
    """The cell of a page, 0 for the registry, and who may log in.

    `package` has no secrets, and is None at the registry. `name` is the host name of the page.
    `registry_key` verifies tickets, in base64. `device_key` authenticates the devices that someone
    has logged in from. `root` is the certificate that browsers trust, in DER. There are no metrics
    where `metrics_token` is empty.
    """

    uvn: str
    identity: str
    cell: int
    cell_name: str
    name: str
    port: int
    owner: str
    cell_owner: str
    root: bytes
    metrics_token: str
    device_key: bytes
    registry_key: str
    roster: Roster
    package: Package | None = None
    users: tuple[WebUser, ...] = ()
    particles: ParticleSettings | None = None

    def __repr__(self) -> str:
        return f"PageSite({self.uvn}/{self.cell_name})"


class PageSource(Struct, frozen=True, kw_only=True):
    """What a page is of, as its agent has it; `mark` differs whenever anything in it does.

    The page is served at addresses in `networks`, and its certificate is good for those in
    `certified`, all of `access`. `own_files` have a certificate of the owner's as well. With
    `loopback_is_plain`, the loopback interface has HTTP without TLS. `port_remedy` is what to do
    where another program has the port.
    """

    mark: str
    site: PageSite
    access: WebAccess
    networks: tuple[Network, ...]
    certified: tuple[Network, ...]
    port_remedy: str
    own_files: CertificateFiles | None = None
    loopback_is_plain: bool = False

    def is_plain(self, address: Address) -> bool:
        """Whether an address is served without TLS: its packets stay on this host."""
        return self.loopback_is_plain and address.is_loopback


def shortened(cell: CellView, roster: Roster) -> tuple[CellView, bool]:
    """Return a cell without the LANs that it reaches, and True, where `completed` finds them.

    They are most of a status in a large UVN, and follow from what a cell does not reach.
    """
    status = cell.status
    if status is None or status.reachable != _rest(cell, roster):
        return cell, False
    return replace(cell, status=replace(status, reachable=())), True


def completed(cell: CellView, roster: Roster) -> CellView:
    """Return a cell that reaches the LANs of all others but those that it does not reach."""
    if cell.status is None:
        return cell
    return replace(cell, status=replace(cell.status, reachable=_rest(cell, roster)))


def _rest(cell: CellView, roster: Roster) -> tuple[Network, ...]:
    lost = frozenset(cell.status.unreachable) if cell.status else frozenset()
    others = (each.lans for each in roster.members if each.id != cell.id)
    return tuple(lan for lans in others for lan in lans if not lost or lan not in lost)


def device_key(key: bytes) -> bytes:
    """Return the key of a page's devices, which follows from that of its authority."""
    return hmac.new(key, b"uno web devices", hashlib.sha256).digest()


def source_of(package: Package, access: WebAccess) -> PageSource:
    """Return what the page of a cell is of."""
    plan = package.plan
    remedy = f"choose another: uno config cell {plan.name} -U --httpd-port PORT"
    return PageSource(
        mark=package.manifest.content,
        site=_site_of(package, access),
        access=access,
        networks=web_access.page_networks(plan, package.own),
        certified=web_access.networks(plan, package.own),
        port_remedy=remedy,
        own_files=plan.web_files,
    )


def _site_of(package: Package, access: WebAccess) -> PageSite:
    plan = package.plan
    public = replace(
        package,
        secrets={},
        particles=tuple(replace(each, psk="") for each in package.particles),
    )
    return PageSite(
        uvn=plan.uvn,
        identity=plan.identity,
        cell=plan.cell,
        cell_name=plan.name,
        name=web_access.host_name(plan.name, plan.uvn),
        port=plan.httpd_port,
        owner=access.owner,
        cell_owner=access.cell_owner,
        root=access.root,
        metrics_token=access.metrics_token,
        device_key=device_key(access.key),
        registry_key=package.manifest.registry_key,
        roster=package.roster,
        package=public,
        users=access.users,
        particles=access.particles,
    )
