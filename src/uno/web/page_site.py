"""What the process of a page has of its package: no key but those that passwords open. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from uno.model.package import Package
from uno.model.plan import Roster
from uno.model.web_access import ParticleSettings, WebAccess, WebUser


class PageSite(Struct, frozen=True, kw_only=True):
    """The cell of a page, and who may log in.

    `package` has no secrets, and is None at the registry. `name` is the host name of the page.
    `device_key` authenticates the devices that someone has logged in from. `root` is the
    certificate that browsers trust, in DER.
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
    roster: Roster
    package: Package | None = None
    users: tuple[WebUser, ...] = ()
    particles: ParticleSettings | None = None

    def __repr__(self) -> str:
        return f"PageSite({self.uvn}/{self.cell_name})"


def site_of(package: Package, access: WebAccess, *, name: str, device_key: bytes) -> PageSite:
    """Return what the process of the page gets of a cell's package."""
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
        name=name,
        port=plan.httpd_port,
        owner=access.owner,
        cell_owner=access.cell_owner,
        root=access.root,
        metrics_token=access.metrics_token,
        device_key=device_key,
        roster=package.roster,
        package=public,
        users=access.users,
        particles=access.particles,
    )
