from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno.diagnostics import ActionNeeded, Rejected, UnoError
from uno.model.package import Package
from uno.model.syntax import Mailbox
from uno.model.uvn import Strategy, Uvn
from uno.planning import invariants
from uno.registry.changes import edits, operations
from uno.registry.changes.edits import Edited, NewCell, Setting
from uno.registry.changes.operations import Author, Change
from uno.registry.publish import package_files
from uno.registry.publish.keygen import public_half, text
from uno.registry.store.directory import Registry
from uno.render import package_file

NEW = NewCell(name="new", address="new.example.org", networks=("10.9.0.0/16",))


def add(registry: Registry, by: Author, cell: NewCell = NEW) -> Change:
    return operations.change(registry, lambda it: edits.add_cell(it, cell), by=by, why="add")


def packages_in(root: Path) -> dict[str, Package]:
    return {path.name: package_file.read(path.read_bytes()) for path in (root / "cells").iterdir()}


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()
    }


@pytest.mark.feature("F017")
@pytest.mark.feature("F068")
def test_define_makes_a_registry_with_a_signed_package_for_each_cell(
    root: Path, definition: Callable[..., Uvn], by: Author
) -> None:
    made = operations.define_uvn(root, Edited(uvn=definition()), by=by)

    assert (made.before, made.after.number, made.is_made) == (0, 1, True)
    assert sorted(packages_in(root)) == [f"net__c{i}.uvn-agent" for i in (1, 2, 3)]
    assert {each.manifest.generation for each in packages_in(root).values()} == {1}
    assert invariants.broken_invariants(made.after.plan) == ()


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
@pytest.mark.feature("F067")
@pytest.mark.usefixtures("registry")
def test_both_ends_of_a_link_hold_keys_that_fit(root: Path) -> None:
    one, other = packages_in(root)["net__c1.uvn-agent"], packages_in(root)["net__c2.uvn-agent"]
    ours = next(link for link in one.plan.links if link.cell == 2)
    theirs = next(link for link in other.plan.links if link.cell == 1)

    assert ours.public_key == text(public_half(b64decode(other.secrets[theirs.key])))
    assert theirs.public_key == text(public_half(b64decode(one.secrets[ours.key])))
    assert one.secrets[ours.psk] == other.secrets[theirs.psk]
    assert one.secrets[ours.key] != other.secrets[theirs.key]


def test_a_package_holds_the_keys_of_its_own_cell_alone(root: Path, registry: Registry) -> None:
    made = packages_in(root)
    registrys = text(registry.store.secrets()["root/registry"].private)
    one, two, three = (
        {key for name, key in each.secrets.items() if not name.endswith("/psk")}
        for each in made.values()
    )

    assert len(one | two | three) == len(one) + len(two) + len(three)
    assert registrys not in one | two | three


@pytest.mark.feature("F023")
@pytest.mark.feature("F061")
def test_a_new_cell_gets_the_next_id_and_links(registry: Registry, by: Author) -> None:
    made = add(registry, by)

    assert (made.before, made.after.number) == (1, 2)
    assert made.after.uvn.cells[-1].id == 4
    assert any(4 in link.cells for link in made.after.plan.links)


@pytest.mark.feature("G02")
def test_a_new_cell_re_keys_and_renumbers_nothing_else(registry: Registry, by: Author) -> None:
    before, secrets = registry.store.head(), registry.store.secrets()

    after = add(registry, by).after

    kept = {link.name for link in before.plan.links} & {link.name for link in after.plan.links}
    assert kept
    for name in kept:
        old = next(link for link in before.plan.links if link.name == name)
        new = next(link for link in after.plan.links if link.name == name)
        assert (old.number, old.a.address4, old.a.port) == (new.number, new.a.address4, new.a.port)
    still = registry.store.secrets()
    assert all(still[name] == secret for name, secret in secrets.items() if name in still)


def test_only_packages_whose_content_changed_are_written(
    registry: Registry, root: Path, by: Author
) -> None:
    before = stamps(root / "cells")

    made = operations.change(
        registry,
        lambda it: edits.apply(
            it,
            [
                Setting(
                    option="--httpd-port", path=("cells", 0, "settings", "httpd_port"), value=8443
                )
            ],
        ),
        by=by,
        why="port",
    )

    after = stamps(root / "cells")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == set(made.published.cell_packages) == {"net__c1.uvn-agent"}
    numbers = {name: each.manifest.generation for name, each in packages_in(root).items()}
    assert numbers == {"net__c1.uvn-agent": 2, "net__c2.uvn-agent": 1, "net__c3.uvn-agent": 1}


def test_a_user_more_is_a_generation_that_no_cell_needs(registry: Registry, by: Author) -> None:
    someone = Mailbox(email="jane@example.org", name="Jane")

    made = operations.change(
        registry, lambda it: edits.add_user(it, someone, password=None), by=by, why="user"
    )

    assert made.is_made
    assert (made.lines, made.published.cell_packages, made.published.particle_packages) == (
        ("+ user jane@example.org",),
        (),
        (),
    )


def test_what_changes_nothing_makes_no_generation(
    registry: Registry, root: Path, by: Author
) -> None:
    before = stamps(root / "cells")

    made = operations.change(registry, lambda it: Edited(uvn=it), by=by, why="nothing")

    assert not made.is_made
    assert [entry.number for entry in registry.store.history()] == [1]
    assert stamps(root / "cells") == before


@pytest.mark.feature("G26")
def test_the_history_has_author_reason_and_time(registry: Registry, by: Author) -> None:
    add(registry, replace(by, who="jane@host"))

    first, second = registry.store.history()
    assert (first.who, first.why, first.time) == ("tester@host", "define uvn net", by.time)
    assert (second.who, second.why) == ("jane@host", "add")


def test_a_refused_change_reports_every_problem_and_changes_nothing(
    registry: Registry, root: Path, by: Author
) -> None:
    before, files = registry.store.secrets(), stamps(root / "cells")
    wanted = NewCell(
        name="c1", address="not a host", networks=("192.168.1.0/25", "10.0.0.1/8"), owner="x@y.org"
    )

    with pytest.raises(Rejected) as caught:
        add(registry, by, wanted)

    reported = {problem.option for problem in caught.value.problems}
    assert reported == {"NAME", "-a", "-N", "-o"}
    assert len([each for each in caught.value.problems if each.option == "-N"]) == 2
    assert registry.store.head().number == 1
    assert registry.store.secrets() == before
    assert stamps(root / "cells") == files


@pytest.mark.feature("F008")
def test_cells_without_a_public_one_are_refused(
    root: Path, definition: Callable[..., Uvn], by: Author
) -> None:
    operations.define_uvn(root, Edited(uvn=definition(cells=0, particles=0)), by=by)

    with (
        operations.opened(root, for_change=True) as registry,
        pytest.raises(Rejected, match="no cell has a public address"),
    ):
        add(registry, by, NewCell(name="inside", networks=("10.0.0.0/8",)))


@pytest.mark.feature("F021")
def test_a_define_that_is_refused_leaves_nothing_behind(
    root: Path, definition: Callable[..., Uvn], by: Author
) -> None:
    bad = edits.add_cell(definition(), NewCell(name="Not A Name"))

    with pytest.raises(Rejected):
        operations.define_uvn(root, bad, by=by)

    assert not root.exists()


def test_a_define_that_cannot_write_leaves_nothing_behind(
    root: Path, definition: Callable[..., Uvn], by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ActionNeeded("cannot write: the disk is full")

    root.mkdir()
    monkeypatch.setattr(package_files.particle_packages, "write", full)

    with pytest.raises(UnoError, match="the disk is full"):
        operations.define_uvn(root, Edited(uvn=definition()), by=by)

    assert list(root.iterdir()) == []


def test_what_fails_between_storing_and_publishing_is_completed_at_the_next_opening(
    registry: Registry, root: Path, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(package_files.cell_packages, "write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            add(registry, by)
    assert len(packages_in(root)) == 3
    assert not package_files.is_complete(registry)

    package_files.heal(registry)

    assert len(packages_in(root)) == 4
    assert {each.manifest.generation for each in packages_in(root).values()} == {2}
    assert package_files.is_complete(registry)


def test_read_only_commands_do_not_wait_for_a_running_one(registry: Registry, root: Path) -> None:
    (root / "cells" / "net__c1.uvn-agent").unlink()

    # `registry` holds the lock.
    with operations.opened(root) as observed:
        assert observed.store.head() == registry.store.head()

    assert not (root / "cells" / "net__c1.uvn-agent").exists()


@pytest.mark.feature("F062")
def test_redeploy_lays_out_the_backbone_anew_and_keeps_what_is_chosen_again(
    registry: Registry, by: Author
) -> None:
    for number in (4, 5, 6):
        wanted = NewCell(name=f"n{number}", address=f"n{number}.example.org")
        before = add(registry, by, wanted).after

    made = operations.change(
        registry,
        lambda it: edits.set_strategy(it, Strategy.FULL_MESH, None, seed=1),
        by=by,
        why="redeploy",
        relayout=True,
    )

    old = {link.name: link.number for link in before.plan.links}
    new = {link.name: link.number for link in made.after.plan.links}
    assert len(new) == 5 * 4 // 2 + 5
    assert {name: new[name] for name in old} == old
    assert made.after.plan.strategy is Strategy.FULL_MESH


@pytest.mark.feature("F062")
def test_redeploy_of_a_backbone_that_is_as_it_should_be_changes_nothing(
    registry: Registry, by: Author
) -> None:
    made = operations.change(registry, lambda it: Edited(uvn=it), by=by, why="r", relayout=True)

    assert not made.is_made


@pytest.mark.feature("F059")
def test_the_random_strategy_draws_from_the_seed_it_is_given(
    registry: Registry, by: Author
) -> None:
    def redeploy(seed: int) -> Change:
        return operations.change(
            registry,
            lambda it: edits.set_strategy(it, Strategy.RANDOM, None, seed=seed),
            by=by,
            why="redeploy",
            relayout=True,
        )

    assert redeploy(7).is_made
    assert not redeploy(7).is_made
    assert redeploy(8).after.uvn.settings.deployment.seed == 8


def test_warnings_are_reported_once(registry: Registry, by: Author) -> None:
    wanted = NewCell(name="idle")

    first = add(registry, by, wanted)
    second = add(registry, by)

    assert ["has no LAN" in warning.what for warning in first.warnings] == [True]
    assert second.warnings == ()
