from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace  # noqa: TID251 - of a dataclass
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest

from uno.model.key_ids import particle_seed
from uno.model.plan import Plan
from uno.model.uvn import Cell, User, Uvn
from uno.planning import particle_routes, planner
from uno.registry.changes import operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish import cell_packages, package_files, particle_packages
from uno.registry.store.directory import Registry


@pytest.mark.feature("F070")
@pytest.mark.feature("F071")
@pytest.mark.feature("F072")
@pytest.mark.feature("F073")
@pytest.mark.usefixtures("registry")
def test_a_package_has_a_configuration_and_codes_for_each_serving_cell(root: Path) -> None:
    content = (root / "particles" / "net__p1.zip").read_bytes()

    found = zipfile.ZipFile(io.BytesIO(content)).namelist()

    each = [f"net__p1/c{c}.{kind}" for c in (1, 2) for kind in ("conf", "png", "svg")]
    assert set(found) == {"net__p1/", "net__p1/index.html", *each}


def test_several_processes_write_what_one_writes(
    root: Path, definition: Callable[..., Uvn], by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.define_uvn(root, Edited(uvn=definition(particles=3)), by=by)
    before = {path.name: path.read_bytes() for path in (root / "particles").iterdir()}
    for path in (root / "particles").iterdir():
        path.unlink()
    monkeypatch.setattr(particle_packages, "_WORTH_PROCESSES", 1)

    with operations.opened(root, for_change=True) as registry:
        package_files.heal(registry)

    assert {path.name: path.read_bytes() for path in (root / "particles").iterdir()} == before
    assert len(before) == 3


def test_a_uvn_whose_cells_serve_no_particles_has_no_packages(
    root: Path, definition: Callable[..., Uvn], by: Author
) -> None:
    uvn = definition()
    off = msgspec.structs.replace(uvn.settings, enable_particles_vpn=False)

    made = operations.define_uvn(
        root, Edited(uvn=msgspec.structs.replace(uvn, settings=off)), by=by
    )

    assert (made.published.particle_packages, made.published.stale) == ((), 0)
    assert list((root / "particles").iterdir()) == []


def test_a_particle_without_a_tunnel_for_all_reaches_the_lans_and_pools(
    definition: Callable[..., Uvn],
) -> None:
    plan = planner.plan(definition(), None)

    reachable = particle_routes.reachable(plan)

    assert IPv4Network("192.168.1.0/24") in reachable
    assert plan.pools.particles in reachable
    assert plan.pools.ula in reachable


def test_too_many_lans_for_a_code_are_widened_until_they_fit() -> None:
    lans = tuple(
        IPv4Network(f"10.{high}.{low}.0/24") for high in range(200) for low in range(0, 250, 50)
    )
    plan = _with_lans(lans)

    reachable = particle_routes.reachable(plan)

    assert sum(len(str(net)) + 2 for net in reachable) <= particle_routes._ROOM
    assert all(any(lan.subnet_of(net) for net in reachable if net.version == 4) for lan in lans)


def test_the_digest_of_a_package_follows_from_what_is_in_it(registry: Registry) -> None:
    plan, secrets = registry.store.head().plan, registry.store.secrets()
    particle = secrets[particle_seed(1)]
    other = {**secrets, particle.id: replace(particle, private=b"x" * 32)}

    same = particle_packages.rows(plan, cell_packages.sources(plan, secrets), {})
    changed = particle_packages.rows(plan, cell_packages.sources(plan, other), {})

    assert same[1].digest == registry.store.particle_packages()[1].digest
    assert changed[1].digest != same[1].digest


def _with_lans(lans: tuple[IPv4Network, ...]) -> Plan:
    uvn = Uvn(
        name="net",
        identity="0" * 32,
        owner="a@b.org",
        users=(User(email="a@b.org"),),
        cells=(Cell(id=1, name="c", owner="a@b.org", address="c.b.org", allowed_lans=lans),),
        next_cell=2,
    )
    return planner.plan(uvn, None)
