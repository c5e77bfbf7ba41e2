from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.uvn import Strategy, Uvn
from uno.registry.changes import edits, operations, updates
from uno.registry.changes.edits import Edited, Setting
from uno.registry.changes.operations import Author, Change
from uno.registry.changes.updates import CellUpdate, Naming, UvnUpdate
from uno.registry.store.directory import Registry
from uno.render import package_file

HASH = "$argon2id$"


def setting(value: object, *path: str) -> Setting:
    return Setting(option="--it", path=path, value=value)


def change(registry: Registry, by: Author, edit: Callable[[Uvn], Edited]) -> Change:
    return operations.change(registry, edit, by=by, why="test")


@pytest.mark.feature("F034")
@pytest.mark.parametrize("kind", ["cell", "particle"])
def test_a_new_name_keeps_addresses_and_keys(registry: Registry, by: Author, kind: str) -> None:
    before, secrets = registry.store.head(), registry.store.secrets()
    naming = Naming(name="new")

    def edit(it: Uvn) -> Edited:
        if kind == "cell":
            return updates.update_cell(it, "c1", CellUpdate(naming=naming))
        return updates.update_particle(it, "p1", naming)

    after = change(registry, by, edit).after

    assert registry.store.secrets() == secrets
    assert after.plan.public_keys == before.plan.public_keys
    assert after.plan.links == before.plan.links
    assert [each.address4 for each in after.plan.particles] == [
        each.address4 for each in before.plan.particles
    ]
    nodes = [[each.member.node4 for each in plan.cells] for plan in (before.plan, after.plan)]
    assert nodes[0] == nodes[1]


def test_a_setting_of_a_particle_is_relative_to_it(registry: Registry, by: Author) -> None:
    excluded = Setting(option="--excluded", path=("excluded",), value=True)

    after = change(
        registry, by, lambda it: updates.update_particle(it, "p1", Naming(), (excluded,))
    ).after

    assert [each.excluded for each in after.uvn.particles] == [True]
    assert after.plan.particles == ()


def test_files_follow_a_new_name(registry: Registry, root: Path, by: Author) -> None:
    change(registry, by, lambda it: updates.update_cell(it, "c1", CellUpdate(naming=_NEW)))
    change(registry, by, lambda it: updates.update_particle(it, "p1", _NEW))

    assert sorted(each.name for each in (root / "cells").iterdir()) == [
        "net__c2.uvn-agent",
        "net__c3.uvn-agent",
        "net__new.uvn-agent",
    ]
    assert [each.name for each in (root / "particles").iterdir()] == ["net__new.zip"]
    made = package_file.read((root / "cells" / "net__new.uvn-agent").read_bytes())
    assert (made.manifest.cell_name, made.plan.name, made.manifest.cell) == ("new", "new", 1)


_NEW = Naming(name="new")


def test_static_links_follow_a_new_name(definition: Callable[..., Uvn]) -> None:
    uvn = edits.set_strategy(
        definition(), Strategy.STATIC, {"c1": ["c2", "c3"], "c2": ["c1"]}, seed=0
    ).uvn

    edited = updates.update_cell(uvn, "c1", CellUpdate(naming=_NEW))

    links = edited.uvn.settings.deployment.strategy_args
    assert links == {"new": ["c2", "c3"], "c2": ["new"]}


def test_a_name_that_is_taken_is_refused_once(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(naming=Naming(name="c2"))

    with pytest.raises(Rejected) as caught:
        change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))

    assert [(p.option, p.what) for p in caught.value.problems] == [
        ("-n", "there is already a cell called c2")
    ]


@pytest.mark.feature("F034")
def test_lans_are_added_and_removed(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(added=("10.7.0.0/16",), removed=("192.168.1.0/24",))

    made = change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))

    assert made.after.uvn.cells[0].allowed_lans == (IPv4Network("10.7.0.0/16"),)


@pytest.mark.feature("F034")
def test_lans_that_are_given_replace_those_there_were(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(networks=("10.8.0.0/16", "10.7.0.0/16"))

    made = change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))

    assert made.after.uvn.cells[0].allowed_lans == (
        IPv4Network("10.7.0.0/16"),
        IPv4Network("10.8.0.0/16"),
    )
    assert "~ cell c1  announces 10.7.0.0/16" in "\n".join(made.lines)
    assert "no longer announces 192.168.1.0/24" in "\n".join(made.lines)


@pytest.mark.parametrize(
    ("wanted", "reported"),
    [
        (
            CellUpdate(networks=("10.7.0.0/16",), removed=("192.168.1.0/24",)),
            "-N replaces all LANs of the cell",
        ),
        (
            CellUpdate(networks=("10.7.0.0/16",), added=("10.8.0.0/16",)),
            "-N replaces all LANs of the cell",
        ),
        (CellUpdate(removed=("10.7.0.0/16",)), "10.7.0.0/16 is not a LAN of cell c1"),
        (
            CellUpdate(added=("10.7.0.0/16",), removed=("10.7.0.0/16",)),
            "10.7.0.0/16 is both to be attached and to be removed",
        ),
        (CellUpdate(removed=("10.7.0.1/16",)), "10.7.0.1/16 has host bits set"),
        (CellUpdate(links=("c2",)), "the crossed strategy chooses the links by itself"),
    ],
)
def test_an_impossible_change_of_a_cell_is_a_problem(
    registry: Registry, by: Author, wanted: CellUpdate, reported: str
) -> None:
    with pytest.raises(Rejected, match=reported):
        change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))


def test_links_of_a_cell_are_named_anew_on_both_sides(definition: Callable[..., Uvn]) -> None:
    given = {"c1": ["c2", "c3"], "c2": ["c3", "c1"]}
    uvn = edits.set_strategy(definition(), Strategy.STATIC, given, seed=0).uvn

    edited = updates.update_cell(uvn, "c1", CellUpdate(links=("c3",)))

    assert edited.uvn.settings.deployment.strategy_args == {"c1": ["c3"], "c2": ["c3"]}


@pytest.mark.feature("F061")
def test_a_lan_that_is_there_already_changes_nothing(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(added=("192.168.1.0/24",))

    assert not change(registry, by, lambda it: updates.update_cell(it, "c1", wanted)).is_made


@pytest.mark.feature("F033")
@pytest.mark.feature("F028")
def test_the_owner_of_the_uvn_changes_and_the_one_before_stays_a_user(
    registry: Registry, by: Author
) -> None:
    wanted = UvnUpdate(owner="Jane <jane@example.org>", new_owner=True, password=HASH)

    uvn = change(registry, by, lambda it: updates.update_uvn(it, wanted)).after.uvn

    assert uvn.owner == "jane@example.org"
    assert [(each.email, each.name, each.password) for each in uvn.users] == [
        ("jane@example.org", "Jane", HASH),
        ("john@example.org", None, None),
    ]


def test_an_unknown_owner_is_refused_unless_they_may_be_new(registry: Registry, by: Author) -> None:
    with pytest.raises(Rejected, match=r"jane@example\.org is not a user"):
        change(registry, by, lambda it: updates.update_uvn(it, UvnUpdate(owner="jane@example.org")))


@pytest.mark.feature("F037")
@pytest.mark.feature("F061")
@pytest.mark.parametrize(
    ("path", "value", "differs"),
    [
        (("settings", "backbone_vpn", "subnet"), "10.99.0.0/20", {"links", "pools"}),
        (("settings", "backbone_vpn", "port"), 50000, {"links"}),
        (("settings", "root_vpn", "subnet"), "10.98.0.0/22", {"pools", "cells", "root"}),
        (("settings", "root_vpn", "peer_port"), 50001, {"cells"}),
        (("settings", "root_vpn", "port"), 50002, {"root"}),
        (
            ("settings", "particles_vpn", "subnet"),
            "10.97.0.0/16",
            {"pools", "particles", "particles_vpn"},
        ),
        (("settings", "particles_vpn", "port"), 50003, {"cells"}),
        (("settings", "particles_vpn", "keepalive"), 7, {"particles_vpn"}),
        (("settings", "backbone_vpn", "interface"), "wgb{}", {"backbone"}),
        (("settings", "timing_profile"), "fast", {"timing"}),
    ],
)
def test_a_setting_changes_what_depends_on_it_and_only_that(
    registry: Registry, by: Author, path: tuple[str, ...], value: object, differs: set[str]
) -> None:
    before, secrets = registry.store.head().plan, registry.store.secrets()
    wanted = UvnUpdate(settings=(setting(value, *path),))

    after = change(registry, by, lambda it: updates.update_uvn(it, wanted)).after.plan

    changed = {
        name for name in after.__struct_fields__ if getattr(before, name) != getattr(after, name)
    }
    assert changed == differs
    assert registry.store.secrets() == secrets


@pytest.mark.feature("F037")
def test_another_backbone_subnet_moves_links_and_keeps_their_numbers_and_ports(
    registry: Registry, by: Author
) -> None:
    before = registry.store.head().plan
    wanted = UvnUpdate(settings=(setting("10.99.0.0/20", "settings", "backbone_vpn", "subnet"),))

    after = change(registry, by, lambda it: updates.update_uvn(it, wanted)).after.plan

    for old, new in zip(before.links, after.links, strict=True):
        assert (old.number, old.a.port, old.b.port) == (new.number, new.a.port, new.b.port)
        assert new.a.address4 in IPv4Network("10.99.0.0/20")
        assert new.b.address4 in IPv4Network("10.99.0.0/20")


@pytest.mark.feature("F044")
def test_what_packages_do_not_speak_of_leaves_them_alone(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(settings=(setting(8443, "settings", "httpd_port"),))

    made = change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))

    assert made.published.cell_packages == ("net__c1.uvn-agent",)
    assert made.published.particle_packages == ()


@pytest.mark.feature("F035")
def test_a_user_gets_another_name_and_password(definition: Callable[..., Uvn]) -> None:
    edited = updates.update_user(definition(), "john@example.org", name="John", password=HASH)

    assert [(user.name, user.password) for user in edited.uvn.users] == [("John", HASH)]


def test_a_user_who_is_not_there_is_not_changed(definition: Callable[..., Uvn]) -> None:
    with pytest.raises(Rejected, match=r"no user.*did you mean john@example.org"):
        updates.update_user(definition(), "jon@example.org", name="x")


def test_an_address_is_cleared(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(settings=(setting(None, "address"),))

    after = change(registry, by, lambda it: updates.update_cell(it, "c1", wanted)).after

    assert not after.uvn.cells[0].is_public
    assert after.plan.cells[0].root_port is None


def test_every_problem_of_an_update_is_reported_at_once(registry: Registry, by: Author) -> None:
    wanted = CellUpdate(
        naming=Naming(name="UP", owner="jane@example.org"),
        added=("192.168.2.0/24", "nonsense"),
        settings=(replace_option(setting(99999, "settings", "httpd_port"), "--httpd-port"),),
    )

    with pytest.raises(Rejected) as caught:
        change(registry, by, lambda it: updates.update_cell(it, "c1", wanted))

    options = {problem.option for problem in caught.value.problems}
    assert options >= {"-n", "-o", "--add-network", "--httpd-port"}
    assert registry.store.head().number == 1


def replace_option(given: Setting, option: str) -> Setting:
    return Setting(option=option, path=given.path, value=given.value)


def test_links_without_the_cell_that_is_gone(definition: Callable[..., Uvn]) -> None:
    uvn = edits.set_strategy(
        definition(), Strategy.STATIC, {"c1": ["c2", "c3"], "c2": ["c1"]}, seed=0
    ).uvn
    settings = replace(uvn.settings.deployment, strategy_args={"c2": [], "c1": ["c3"]})

    left = updates.without_links(uvn, "c2").settings.deployment

    assert left == replace(settings, strategy_args={"c1": ["c3"]})
