"""What `uno show` shows: facts and tables for people, values for programs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from uno.cli.output import list_views, printing
from uno.cli.output.definition_view import whole
from uno.diagnostics import ActionNeeded, InvalidInput
from uno.model import codec
from uno.model.key_ids import WEB_ROOT, cell_signing
from uno.model.messages import REGISTRY
from uno.model.syntax import interface_name
from uno.model.web_access import REGISTRY_PORT
from uno.planning import backbone_map
from uno.registry.publish import (
    cell_packages,
    keygen,
    package_files,
    particle_packages,
    web_authority,
)
from uno.registry.store import trust_rows
from uno.render.package_file import fingerprint
from uno.render.particle import terminal_qr
from uno.statesync.envelope import signer
from uno.web import login_ticket
from uno.web.login_ticket import LoginTicket

if TYPE_CHECKING:
    from uno.cli.input.options import Common, JsonOption
    from uno.model.net import Address
    from uno.model.plan import LinkEnd, Plan, PlannedCell
    from uno.registry.store.directory import Registry
    from uno.registry.store.generation_store import Generation
    from uno.registry.store.secret_table import StoredSecret


def registry_fingerprint(registry: Registry) -> str:
    """Return the fingerprint of the key that signs the packages."""
    return fingerprint(_registry_key(registry))


def show_uvn(registry: Registry, output: JsonOption) -> None:
    """Print the UVN in short."""
    head = registry.store.head()
    uvn, plan = head.uvn, head.plan
    stale = len(package_files.stale_particle_packages(registry))
    key = _registry_key(registry)
    earlier = tuple(
        fingerprint(each.follows) for each in trust_rows.read(registry.store.database).registry_keys
    )
    if output.json:
        printing.json(
            {
                "name": uvn.name,
                "owner": uvn.owner,
                "address": uvn.address,
                "identity": uvn.identity,
                "generation": head.number,
                "changed": head.entry.time.isoformat(),
                "registry_key": key,
                "fingerprint": fingerprint(key),
                "earlier_fingerprints": earlier,
                "users": len(uvn.users),
                "cells": len(uvn.cells),
                "particles": len(uvn.particles),
                "links": len(plan.links),
                "strategy": plan.strategy,
                "particle_packages_postponed": stale,
                "pools": codec.to_builtins(plan.pools),
            }
        )
        return
    count = printing.count
    printing.facts(
        (
            ("uvn", uvn.name),
            ("owner", uvn.owner),
            ("address", uvn.address or "none: private cells cannot pull"),
            ("registry key", fingerprint(key)),
            ("earlier keys", earlier),
            ("generation", f"{head.number}, {_when(head)}, {head.entry.why}"),
            ("users", len(uvn.users)),
            ("cells", f"{len(uvn.cells)}, {sum(c.is_public for c in uvn.cells)} of them public"),
            ("particles", len(uvn.particles)),
            ("backbone", f"{count(len(plan.links), 'link')}, {plan.strategy}"),
            ("timing", f"{uvn.settings.timing_profile}, {plan.timing.hold} s hold time"),
            ("root vpn", plan.pools.root if plan.root else "off: deployed by packages alone"),
            ("particle vpn", plan.pools.particles if plan.particles_vpn else "off"),
            ("IPv6", plan.pools.ula),
            ("postponed", f"{count(stale, 'particle package')}: uno packages" if stale else ""),
        )
    )


def show_cell(registry: Registry, name: str, output: JsonOption) -> None:
    """Print a cell as declared and as decided."""
    head = registry.store.head()
    declared = list_views.cell(head.uvn, name)
    plan = head.plan
    planned = next((each for each in plan.cells if each.member.id == declared.id), None)
    ends = sorted(_ends(plan, declared.id), key=lambda pair: pair[0].slot)
    path = registry.layout.cells / cell_packages.file_name(plan.uvn, name)
    names = list_views.names_of(plan)
    if output.json:
        printing.json(
            {
                **whole(declared),
                **list_views.decided(planned),
                "package": str(path),
                "ports": _ports(planned, ends, names),
                "links": [
                    {
                        "slot": ours.slot,
                        "local": list_views.end_of(ours, names),
                        "remote": list_views.end_of(theirs, names),
                    }
                    for ours, theirs in ends
                ],
            }
        )
        return
    printing.facts(
        (
            ("cell", f"{declared.name} (id {declared.id}){' banned' if not planned else ''}"),
            ("owner", declared.owner),
            ("location", declared.settings.location),
            ("timing", declared.settings.timing_profile),
            ("address", declared.address or "private: dials out"),
            ("LANs", declared.allowed_lans or "none: only routes"),
            ("node", (planned.member.node4, planned.member.node6) if planned else None),
            ("AS number", planned.member.asn if planned else None),
            ("forward to it", [_port_line(port) for port in _ports(planned, ends, names)]),
            ("status page", f"TCP {declared.settings.httpd_port}"),
            ("its certificate", declared.settings.web.certificate),
            ("package", path if planned else None),
        )
    )
    if ends:
        printing.heading("Links")
        printing.table(
            ("INTERFACE", "ADDRESS", "PORT", "TO", "ADDRESS", "PORT"),
            [
                (
                    interface_name(plan.backbone.interface, ours.slot),
                    ours.address4,
                    ours.port,
                    names[theirs.cell],
                    theirs.address4,
                    theirs.port,
                )
                for ours, theirs in ends
            ],
            empty="",
        )


def show_particle(registry: Registry, name: str, output: JsonOption) -> None:
    """Print a particle, and the cells that it can connect to."""
    head = registry.store.head()
    declared = list_views.particle(head.uvn, name)
    plan = head.plan
    planned = next((each for each in plan.particles if each.id == declared.id), None)
    serving = particle_packages.serving(plan) if planned else ()
    path = registry.layout.particles / particle_packages.file_name(plan.uvn, name)
    is_made = path.name not in package_files.stale_particle_packages(registry)
    if output.json:
        printing.json(
            {
                **whole(declared),
                **(codec.to_builtins(planned) if planned else {}),
                "package": str(path) if serving and is_made else None,
                "cells": [
                    {"name": each.member.name, "endpoint": each.member.endpoint}
                    | {"port": each.particles_port}
                    for each in serving
                ],
            }
        )
        return
    printing.facts(
        (
            ("particle", f"{declared.name} (id {declared.id}){' banned' if not planned else ''}"),
            ("owner", declared.owner),
            ("address", (planned.address4, planned.address6) if planned else None),
            ("package", (path if is_made else "postponed: uno packages") if serving else None),
        )
    )
    if planned:
        printing.heading("Cells")
        printing.table(
            ("CELL", "ADDRESS", "UDP PORT", "LANS"),
            [
                (each.member.name, each.member.endpoint, each.particles_port, each.member.lans)
                for each in serving
            ],
            empty="No cell serves particles.",
        )


def show_user(head: Generation, email: str, output: JsonOption) -> None:
    """Print a user, and what they own. A password is shown as set or not set."""
    declared = list_views.user(head.uvn, email)
    uvn = head.uvn
    cells = [cell.name for cell in uvn.cells if cell.owner == email]
    particles = [particle.name for particle in uvn.particles if particle.owner == email]
    if output.json:
        printing.json(
            {
                **whole(declared),
                "is_owner": email == uvn.owner,
                "has_password": declared.password is not None,
                "cells": cells,
                "particles": particles,
            }
        )
        return
    printing.facts(
        (
            ("user", f"{email}{' banned' if declared.excluded else ''}"),
            ("name", declared.name),
            ("password", "set" if declared.password else "none: cannot log in"),
            ("owns", uvn.name if email == uvn.owner else None),
            ("cells", ", ".join(cells)),
            ("particles", ", ".join(particles)),
        )
    )


def show_link(head: Generation, ends: tuple[str, str], output: JsonOption) -> None:
    """Print a link between two cells, both ends side by side."""
    plan = head.plan
    one, other = (list_views.cell(head.uvn, name) for name in ends)
    wanted = (min(one.id, other.id), max(one.id, other.id))
    link = next((each for each in plan.links if each.cells == wanted), None)
    if link is None:
        hint = "uno list links shows those there are"
        raise InvalidInput(f"{one.name} and {other.name} are not linked", hint)
    names = list_views.names_of(plan)
    if output.json:
        both = {"a": list_views.end_of(link.a, names), "b": list_views.end_of(link.b, names)}
        printing.json({"number": link.number, "name": link.name, **both})
        return
    ends_ = (link.a, link.b)
    printing.table(
        ("", *(names[end.cell] for end in ends_)),
        [
            ("interface", *(interface_name(plan.backbone.interface, end.slot) for end in ends_)),
            ("IPv4", *(str(end.address4) for end in ends_)),
            ("IPv6", *(str(end.address6) for end in ends_)),
            ("UDP port", *(str(end.port or "dials out") for end in ends_)),
            ("accepts", *(_accepted(end, names) for end in ends_)),
        ],
        empty="",
    )


def show_codes(registry: Registry, name: str, only: str | None) -> None:
    """Print a QR code for each cell that a particle can connect to, or for the cell `only`."""
    head, secrets = registry.store.head(), registry.store.secrets()
    declared = list_views.particle(head.uvn, name)
    if only is not None:
        list_views.cell(head.uvn, only)
    if declared not in head.uvn.active_particles:
        raise ActionNeeded(f"particle {name} is banned", "there is no cell that it can connect to")
    made = cell_packages.sources(head.plan, secrets)
    found = particle_packages.configurations(head.plan, made, declared.id)
    shown = [each for each in found if only in (None, each.cell)]
    if not shown:
        raise ActionNeeded(
            f"{only or 'no cell'} serves {'no ' if only else ''}particles",
            "give a public cell a particle VPN",
        )
    for each in shown:
        printing.heading(f"{name} at {each.cell}, {each.endpoint}")
        printing.result(terminal_qr(each.conf))


def show_metrics_token(registry: Registry, name: str) -> None:
    """Print the bearer token of a cell's metrics, as the cell's newest package has it."""
    head, secrets = registry.store.head(), registry.store.secrets()
    declared = list_views.cell(head.uvn, name)
    signing = secrets.get(cell_signing(declared.id))
    if signing is None or declared.excluded:
        raise ActionNeeded(f"cell {name} has no page", "it is banned, or an older uno made it")
    seed = _web_root(secrets)
    token = web_authority.metrics_token(seed.private, declared.id, signing.private)
    printing.result(token)


def show_ca(registry: Registry, output: JsonOption, common: Common) -> None:
    """Print the certificate of the root of all pages, as PEM; for people with its fingerprint."""
    head = registry.store.head()
    seed = _web_root(registry.store.secrets())
    certificate = web_authority.root_certificate(seed.private, head.plan.uvn)
    mark = ":".join(f"{each:02X}" for each in hashlib.sha256(certificate).digest())
    text = web_authority.pem(certificate)
    if output.json:
        printing.json({"certificate": text, "sha256": mark})
        return
    printing.result(text)
    printing.message(common, f"SHA-256 {mark}")


def _web_root(secrets: Mapping[str, StoredSecret]) -> StoredSecret:
    seed = secrets.get(WEB_ROOT)
    if seed is None:
        raise ActionNeeded(
            "this registry has no certificates for web pages yet",
            "an older uno made it; the next change makes them, as does: uno redeploy",
        )
    return seed


def login_address(registry: Registry, name: str, *, now: float) -> str:
    """Return where a cell's page takes a ticket for the UVN's owner. Raises `UnoError`."""
    head = registry.store.head()
    declared = list_views.cell(head.uvn, name)
    planned = next((each for each in head.plan.cells if each.member.id == declared.id), None)
    if planned is None:
        raise ActionNeeded(f"cell {name} is banned", "it has no page")
    port = "" if planned.httpd_port == 443 else f":{planned.httpd_port}"
    place = f"https://{planned.member.node4}{port}"
    return f"{place}/login?ticket={_ticket(registry, declared.id, now)}"


def own_login_address(
    registry: Registry, address: Address, *, port: int = REGISTRY_PORT, now: float
) -> str:
    """Return where the registry's own page takes a ticket for the UVN's owner."""
    host = f"[{address}]" if address.version == 6 else str(address)
    scheme = "http" if address.is_loopback else "https"
    return f"{scheme}://{host}:{port}/login?ticket={_ticket(registry, REGISTRY, now)}"


def _ticket(registry: Registry, cell: int, now: float) -> str:
    signing = registry.store.secrets()[keygen.SIGNING]
    ticket = LoginTicket(
        email=registry.store.head().uvn.owner,
        cell=cell,
        expires=now + login_ticket.LIFETIME,
        nonce=secrets.token_urlsafe(16),
    )
    return login_ticket.signed(ticket, sign=signer(keygen.text(signing.private)))


def show_plan(head: Generation, output: JsonOption) -> None:
    """Print all that was decided."""
    plan = head.plan
    if output.json:
        printing.json(plan)
        return
    printing.facts(
        (
            ("uvn", f"{plan.uvn}, generation {head.number}"),
            ("root vpn", plan.pools.root),
            ("particles", (plan.pools.particles, plan.pools.particles6)),
            ("backbone", plan.pools.backbone),
            ("IPv6", plan.pools.ula),
            ("BGP", f"hold {plan.timing.hold} s, keepalive {plan.timing.keepalive} s"),
            ("BFD", f"{plan.timing.bfd_interval} ms × {plan.timing.bfd_multiplier}"),
        )
    )
    printing.heading("Cells")
    printing.table(
        ("ID", "NAME", "NODE", "ROOT", "PARTICLES", "HTTPS", "LANS"),
        [
            (
                each.member.id,
                each.member.name,
                each.member.node4,
                each.root_port,
                each.particles_port,
                each.httpd_port,
                each.member.lans,
            )
            for each in plan.cells
        ],
        empty="There are none.",
    )
    printing.heading("Particles")
    printing.table(
        ("ID", "NAME", "IPV4", "IPV6"),
        [(each.id, each.name, each.address4, each.address6) for each in plan.particles],
        empty="There are none.",
    )
    printing.heading("Backbone")
    printing.result(backbone_map.text(plan))


def show_backbone(head: Generation, output: JsonOption) -> None:
    """Print the map of the backbone."""
    if output.json:
        printing.json(list(list_views.links(head).values))
    else:
        printing.result(backbone_map.text(head.plan))


def _registry_key(registry: Registry) -> str:
    return keygen.text(registry.store.secret_table.public_half(keygen.SIGNING))


def _ends(plan: Plan, cell: int) -> Iterable[tuple[LinkEnd, LinkEnd]]:
    """Return the links of a cell, with its own end first."""
    for link in plan.links:
        if link.a.cell == cell:
            yield link.a, link.b
        elif link.b.cell == cell:
            yield link.b, link.a


def _accepted(end: LinkEnd, names: dict[int, str]) -> str:
    """Return the cells whose LANs an end accepts, or the exceptions if the list is shorter."""
    listed = ", ".join(names[cell] for cell in end.import_origins.cells if cell in names)
    return f"all but {listed}" if end.import_origins.complement else listed


def _ports(
    planned: PlannedCell | None,
    ends: Iterable[tuple[LinkEnd, LinkEnd]],
    names: dict[int, str],
) -> list[dict[str, Any]]:
    """Return the UDP ports that have to reach a cell, and what comes in there."""
    if planned is None or planned.member.endpoint is None:
        return []
    found = [(planned.root_port, "the registry"), (planned.particles_port, "particles")]
    found += [(ours.port, names[theirs.cell]) for ours, theirs in ends]
    return [{"port": port, "from": what} for port, what in found if port is not None]


def _port_line(port: dict[str, Any]) -> str:
    return f"UDP {port['port']}  {port['from']}"


def _when(head: Generation) -> str:
    return head.entry.time.strftime("%Y-%m-%d %H:%M UTC")
