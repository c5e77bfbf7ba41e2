from __future__ import annotations

import dataclasses
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from uno.model.key_ids import pair_seed
from uno.model.uvn import Uvn
from uno.registry.changes import edits, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish import cell_packages, keygen, particle_packages
from uno.registry.store.directory import Registry
from uno.render import package_file


def sources(registry: Registry) -> cell_packages.Sources:
    return cell_packages.sources(registry.store.head().plan, registry.store.secrets())


@pytest.mark.feature("F066")
@pytest.mark.feature("F067")
def test_a_particle_and_its_cell_hold_keys_that_fit(registry: Registry, root: Path) -> None:
    made = package_file.read((root / "cells" / "net__c1.uvn-agent").read_bytes())
    plan = registry.store.head().plan

    configuration = particle_packages.configurations(plan, sources(registry), 1)[0]

    values = dict(line.split(" = ") for line in configuration.conf.splitlines() if " = " in line)
    (peer,) = made.particles
    assert peer.public_key == keygen.text(keygen.public_half(b64decode(values["PrivateKey"])))
    assert peer.psk == values["PresharedKey"]
    assert made.plan.particles is not None
    hub = b64decode(made.secrets[made.plan.particles.key])
    assert values["PublicKey"] == keygen.text(keygen.public_half(hub))


def test_equal_inputs_make_the_same_bytes(registry: Registry, root: Path) -> None:
    path = root / "cells" / "net__c1.uvn-agent"
    before = path.read_bytes()
    row = registry.store.cell_packages()[1]

    cell_packages.write(
        sources(registry), [cell_packages.Job(row=replace(row, piece=None), path=path)]
    )

    assert path.read_bytes() == before


def test_the_particles_are_taken_over_from_the_package_before(
    registry: Registry, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("particle keys were made again")

    monkeypatch.setattr(keygen, "particle_private", never)

    # Every roster changes, and with it every package.
    made = operations.change(
        registry,
        lambda it: edits.add_cell(it, edits.NewCell(name="in", networks=("10.0.0.0/16",))),
        by=by,
        why="add",
    )

    assert len(made.published.cell_packages) == 4


def test_what_is_taken_over_is_checked_first(registry: Registry, root: Path) -> None:
    path = root / "cells" / "net__c1.uvn-agent"
    before = path.read_bytes()
    row = registry.store.cell_packages()[1]
    assert row.piece is not None
    at = row.piece.at + row.piece.size // 2
    path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])

    cell_packages.write(sources(registry), [cell_packages.Job(row=row, path=path)])

    assert path.read_bytes() == before


def test_several_processes_write_what_one_writes(
    root: Path, definition: Callable[..., Uvn], by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.define_uvn(root, Edited(uvn=definition(cells=6, particles=4)), by=by)
    before = {path.name: path.read_bytes() for path in (root / "cells").iterdir()}
    monkeypatch.setattr(cell_packages, "_WORTH_PROCESSES", 1)

    with operations.opened(root, for_change=True) as registry:
        for row in registry.store.cell_packages().values():
            assert row.written == row.digest
        jobs = [
            cell_packages.Job(
                row=replace(row, piece=None, written=""),
                path=root / "cells" / cell_packages.file_name("net", f"c{cell}"),
            )
            for cell, row in registry.store.cell_packages().items()
        ]
        rows = cell_packages.write(sources(registry), jobs)

        assert rows == registry.store.cell_packages()
    assert {path.name: path.read_bytes() for path in (root / "cells").iterdir()} == before


@pytest.mark.parametrize(
    ("secret", "changed"),
    [
        ("hub/1", {1}),
        ("particle/1", {1, 2}),
        ("link/1-2/psk", {1, 2}),
        ("root/3", {3}),
    ],
)
def test_another_secret_is_another_package_for_those_who_use_it(
    registry: Registry, secret: str, changed: set[int]
) -> None:
    plan, secrets = registry.store.head().plan, registry.store.secrets()
    other: Any = dict(secrets)
    other[secret] = dataclasses.replace(  # noqa: TID251 - of a dataclass
        secrets[secret], private=b"x" * 32
    )

    before = cell_packages.sources(plan, secrets).cells
    after = cell_packages.sources(plan, other).cells

    assert {cell for cell in before if before[cell].digest != after[cell].digest} == changed


def test_re_keying_one_pair_changes_the_package_of_its_cell_alone(registry: Registry) -> None:
    plan, secrets = registry.store.head().plan, registry.store.secrets()
    extra = keygen.new_shared(pair_seed(1, 2), keygen.SEED)

    before = cell_packages.sources(plan, secrets)
    after = cell_packages.sources(plan, {**secrets, extra.id: extra})

    changed = {cell for cell in (1, 2, 3) if before.cells[cell].digest != after.cells[cell].digest}
    assert changed == {2}
    old = particle_packages.configurations(plan, before, 1)
    new = particle_packages.configurations(plan, after, 1)
    assert [one.conf == other.conf for one, other in zip(old, new, strict=True)] == [True, False]
