"""A registry under random commands, against a model of a few sets.

Whatever the commands: generations only grow, what a command is not about stays as it was, what was
banned, deleted or replaced is in no package and never comes back, and each stored plan is sound.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.plan import Plan
from uno.model.syntax import Mailbox
from uno.model.uvn import Cell, Strategy, User, Uvn
from uno.planning.invariants import broken_invariants
from uno.registry.changes import edits, history, key_rotation, membership, operations, updates
from uno.registry.changes.edits import Edited, NewCell, Setting
from uno.registry.changes.key_rotation import Networks
from uno.registry.changes.operations import Author, Change
from uno.registry.changes.updates import CellUpdate, Naming
from uno.render import package_file as artifact
from uno.render import particle as particle_artifacts
from uno.spec import export, loading

OWNER = "owner@example.org"
START = datetime(2026, 1, 1, tzinfo=UTC)
LANS = st.sampled_from([f"192.168.{number}.0/24" for number in range(8)])
NETWORKS = [Networks(root=True), Networks(particles=True), Networks(backbone=True)]
MODEL = ("lans", "banned_cells", "owners", "banned_particles", "emails", "banned_users")
CHOSEN_BY_UNO = [each for each in Strategy if each is not Strategy.STATIC]


class Commands(RuleBasedStateMachine):
    """The registry of one UVN, and what it should hold."""

    cells: ClassVar[Bundle[str]] = Bundle("cells")
    particles: ClassVar[Bundle[str]] = Bundle("particles")
    users: ClassVar[Bundle[str]] = Bundle("users")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="uno-machine-")) / "registry"
        self.patch = pytest.MonkeyPatch()
        # Drawing codes takes nearly all the time, and has tests of its own.
        self.patch.setattr(particle_artifacts, "fits", lambda _: False)
        self.count = 0
        self.drawn = 0
        self.number = 0
        self.gone: set[str] = set()
        self.shown: set[str] = set()
        self.contents: dict[str, tuple[int, bytes]] = {}
        self.banned_cells: set[str] = set()
        self.banned_particles: set[str] = set()
        self.banned_users: set[str] = set()
        self.lans: dict[str, set[str]] = {}
        self.owners: dict[str, str] = {}
        self.emails = {OWNER}
        self.definitions: dict[int, Uvn] = {}
        self.models: dict[int, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.root.parent)

    # --- Commands ----------------------------------------------------------------------------

    @initialize(target=cells)
    def define(self) -> str:
        first = Cell(id=1, name="c0", owner=OWNER, address="c0.example.org")
        uvn = Uvn(
            name="net",
            identity="0123456789abcdef" * 2,
            owner=OWNER,
            address="registry.example.org",
            users=(User(email=OWNER),),
            cells=(first,),
            next_cell=2,
        )
        operations.define_uvn(self.root, Edited(uvn=uvn), by=self.author())
        self.number = 1
        self.lans["c0"] = set()
        return "c0"

    @rule(target=cells, public=st.booleans(), lans=st.sets(LANS, max_size=2))
    def add_cell(self, *, public: bool, lans: set[str]) -> str:
        name = self.new_name("c")
        address = f"{name}.example.org" if public else None
        wanted = NewCell(name=name, address=address, networks=tuple(sorted(lans)))
        if self.change(lambda uvn: edits.add_cell(uvn, wanted)):
            self.lans[name] = lans
        return name

    @rule(target=particles, owner=users)
    def add_particle(self, owner: str) -> str:
        name = self.new_name("p")
        if self.change(lambda uvn: edits.add_particle(uvn, name, owner)):
            self.owners[name] = owner
        return name

    @rule(target=users)
    def add_user(self) -> str:
        email = f"{self.new_name('u')}@example.org"
        if self.change(lambda uvn: edits.add_user(uvn, Mailbox(email=email), password=None)):
            self.emails.add(email)
        return email

    @rule(cell=cells, excluded=st.booleans())
    def ban_cell(self, cell: str, *, excluded: bool) -> None:
        if self.change(lambda uvn: membership.exclude_cell(uvn, cell, excluded=excluded)):
            mark(self.banned_cells, cell, marked=excluded)

    @rule(particle=particles, excluded=st.booleans())
    def ban_particle(self, particle: str, *, excluded: bool) -> None:
        if self.change(lambda uvn: membership.exclude_particle(uvn, particle, excluded=excluded)):
            mark(self.banned_particles, particle, marked=excluded)

    @rule(user=users, excluded=st.booleans())
    def ban_user(self, user: str, *, excluded: bool) -> None:
        if self.change(lambda uvn: membership.exclude_user(uvn, user, excluded=excluded)):
            mark(self.banned_users, user, marked=excluded)

    @rule(cell=consumes(cells))
    def delete_cell(self, cell: str) -> None:
        if self.change(lambda uvn: membership.delete_cell(uvn, cell)):
            del self.lans[cell]
            self.banned_cells.discard(cell)

    @rule(particle=consumes(particles))
    def delete_particle(self, particle: str) -> None:
        if self.change(lambda uvn: membership.delete_particle(uvn, particle)):
            del self.owners[particle]
            self.banned_particles.discard(particle)

    @rule(user=consumes(users))
    def delete_user(self, user: str) -> None:
        if self.change(lambda uvn: membership.delete_user(uvn, user)):
            self.emails.discard(user)
            self.banned_users.discard(user)
            self.owners = {
                particle: OWNER if owner == user else owner
                for particle, owner in self.owners.items()
            }

    @rule(target=cells, cell=consumes(cells))
    def rename_cell(self, cell: str) -> str:
        name = self.new_name("c")
        wanted = CellUpdate(naming=Naming(name=name))
        if not self.change(lambda uvn: updates.update_cell(uvn, cell, wanted), about={"names"}):
            return cell
        self.lans[name] = self.lans.pop(cell)
        if cell in self.banned_cells:
            self.banned_cells ^= {cell, name}
        return name

    @rule(cell=cells, lan=LANS)
    def add_lan(self, cell: str, lan: str) -> None:
        wanted = CellUpdate(added=(lan,))
        if self.change(lambda uvn: updates.update_cell(uvn, cell, wanted)):
            self.lans[cell].add(lan)

    @rule(cell=cells, lan=LANS)
    def remove_lan(self, cell: str, lan: str) -> None:
        wanted = CellUpdate(removed=(lan,))
        if self.change(lambda uvn: updates.update_cell(uvn, cell, wanted)):
            self.lans[cell].discard(lan)

    @rule(cell=cells, port=st.integers(1024, 65535))
    def set_port(self, cell: str, port: int) -> None:
        setting = Setting(option="", path=("settings", "httpd_port"), value=port)
        wanted = CellUpdate(settings=(setting,))
        self.change(lambda uvn: updates.update_cell(uvn, cell, wanted))

    @rule(networks=st.sampled_from(NETWORKS))
    def rekey_everything(self, networks: Networks) -> None:
        self.change(lambda uvn: key_rotation.rekey_uvn(uvn, networks), about={"keys"})

    @rule(cell=cells, networks=st.sampled_from(NETWORKS))
    def rekey_cell(self, cell: str, networks: Networks) -> None:
        self.change(lambda uvn: key_rotation.rekey_cell(uvn, cell, networks), about={"keys"})

    @rule(particle=particles)
    def rekey_particle(self, particle: str) -> None:
        self.change(lambda uvn: key_rotation.rekey_particle(uvn, particle), about={"keys"})

    @rule(strategy=st.sampled_from(CHOSEN_BY_UNO), seed=st.integers(0, 5))
    def redeploy(self, strategy: Strategy, seed: int) -> None:
        self.change(lambda uvn: edits.set_strategy(uvn, strategy, None, seed=seed), relayout=True)

    @rule(choice=st.integers(0, 1000))
    def rollback(self, choice: int) -> None:
        number = 1 + choice % self.number
        then = self.definitions[number]
        newest_first = [self.definitions[each] for each in sorted(self.definitions, reverse=True)]
        banned = history.bans(newest_first, then)
        if not self.change(lambda uvn: history.rolled_back(uvn, then, banned), about={"rollback"}):
            # Without the banned cells no public one may be left.
            assert banned.cells
            return
        now = self.uvn()
        counted = {"next_cell": then.next_cell, "next_particle": then.next_particle}
        assert replace(now, **counted) == with_bans(then, banned)
        vars(self).update(deepcopy(self.models[number]))
        self.banned_cells = {cell.name for cell in now.cells if cell.excluded}
        self.banned_particles = {each.name for each in now.particles if each.excluded}
        self.banned_users = {user.email for user in now.users if user.excluded}

    # --- What must hold ----------------------------------------------------------------------

    @invariant()
    def the_definition_is_that_of_the_model(self) -> None:
        if not self.number:
            return
        uvn = self.uvn()
        assert {cell.name: lans_of(cell) for cell in uvn.cells} == self.lans
        assert {cell.name for cell in uvn.cells if cell.excluded} == self.banned_cells
        assert {each.name: each.owner for each in uvn.particles} == self.owners
        assert {each.name for each in uvn.particles if each.excluded} == self.banned_particles
        assert {user.email for user in uvn.users} == self.emails
        assert {user.email for user in uvn.users if user.excluded} == self.banned_users
        self.definitions[self.number] = uvn
        self.models[self.number] = deepcopy({name: vars(self)[name] for name in MODEL})

    @invariant()
    def who_is_out_is_in_no_package(self) -> None:
        if not self.number:
            return
        active = self.lans.keys() - self.banned_cells
        connected = {
            name
            for name, owner in self.owners.items()
            if name not in self.banned_particles and owner not in self.banned_users
        }
        found = {path.name: path.read_bytes() for path in (self.root / "cells").iterdir()}
        assert set(found) == {f"net__{name}.uvn-agent" for name in active}
        known: set[str] = set()
        for content in found.values():
            opened = artifact.read(content)
            assert {member.name for member in opened.roster.members} == active
            assert opened.manifest.generation <= self.number
            peers = {peer.particle.name for peer in opened.particles}
            assert peers == (connected if opened.plan.particles else set())
            known |= {link.public_key for link in opened.plan.links}
            known |= {peer.public_key for peer in opened.particles}
        known |= set(self.plan().public_keys.values())
        self.gone |= self.shown - known
        self.shown = known
        assert not known & self.gone, "a key that was replaced or revoked is back"

    @invariant()
    def a_package_is_of_the_generation_in_which_it_changed(self) -> None:
        if not self.number:
            return
        before, self.contents = self.contents, {}
        for path in (self.root / "cells").iterdir():
            content = path.read_bytes()
            generation = artifact.read_manifest(content).generation
            self.contents[path.name] = generation, content
            old_generation, old = before.get(path.name, (0, b""))
            assert (generation == old_generation) == (content == old)

    @invariant()
    def an_export_defines_the_same(self) -> None:
        if not self.number:
            return
        uvn = self.uvn()
        again, _ = loading.load(
            export.to_yaml(uvn), file="x.yml", identity=uvn.identity, hash_password=str
        )
        assert without_ids(again) == without_ids(uvn)

    # --- Helpers -----------------------------------------------------------------------------

    def change(
        self,
        edit: Callable[[Uvn], Edited],
        *,
        about: Collection[str] = (),
        relayout: bool = False,
    ) -> bool:
        """Make a change; return whether it was accepted, and check what it was not about."""
        with operations.opened(self.root, for_change=True) as registry:
            before = registry.store.head()
            try:
                made = operations.change(
                    registry, edit, by=self.author(), why="test", relayout=relayout
                )
            except Rejected:
                assert registry.store.head() == before
                return False
            after = registry.store.head()
        self.check(made, before.plan, after.plan, about)
        return True

    def check(self, made: Change, before: Plan, after: Plan, about: Collection[str]) -> None:
        assert made.after.number == self.number + made.is_made
        self.number = made.after.number
        assert broken_invariants(after) == ()
        stayed = {each.member.id: each for each in before.cells}
        for cell in after.cells:
            if old := stayed.get(cell.member.id):
                assert (cell.member.node4, cell.member.node6) == (
                    old.member.node4,
                    old.member.node6,
                )
                assert (cell.root_port, cell.particles_port) == (old.root_port, old.particles_port)
        addresses = {each.id: (each.address4, each.address6) for each in before.particles}
        for each in after.particles:
            assert addresses.get(each.id, (each.address4, each.address6)) == (
                each.address4,
                each.address6,
            )
        links = {link.cells: link for link in before.links}
        for link in after.links:
            if link.cells in links:
                assert places(link) == places(links[link.cells])
        if {*about} & {"names", "keys"}:
            assert [link.cells for link in after.links] == [link.cells for link in before.links]
        if "keys" not in about:
            shared = before.public_keys.keys() & after.public_keys.keys()
            assert all(before.public_keys[key] == after.public_keys[key] for key in shared)

    def author(self) -> Author:
        self.count += 1
        return Author(who="machine", time=START + timedelta(seconds=self.count))

    def new_name(self, kind: str) -> str:
        self.drawn += 1
        return f"{kind}{self.drawn}"

    def uvn(self) -> Uvn:
        with operations.opened(self.root) as registry:
            return registry.store.head().uvn

    def plan(self) -> Plan:
        with operations.opened(self.root) as registry:
            return registry.store.head().plan


def with_bans(uvn: Uvn, banned: history.Bans) -> Uvn:
    """Return `uvn` with those banned who are, beside those who were."""
    users = (replace(it, excluded=it.excluded or it.email in banned.users) for it in uvn.users)
    cells = (replace(it, excluded=it.excluded or it.id in banned.cells) for it in uvn.cells)
    particles = (
        replace(it, excluded=it.excluded or it.id in banned.particles) for it in uvn.particles
    )
    return replace(uvn, users=tuple(users), cells=tuple(cells), particles=tuple(particles))


def mark(names: set[str], name: str, *, marked: bool) -> None:
    if marked:
        names.add(name)
    else:
        names.discard(name)


def places(link: object) -> object:
    """Return a link's addresses and ports, which are all of it but what its ends accept."""
    number, a, b = link.number, link.a, link.b  # type: ignore[attr-defined]
    return number, *((end.slot, end.address4, end.address6, end.port) for end in (a, b))


def lans_of(cell: Cell) -> set[str]:
    return {str(lan) for lan in cell.allowed_lans if isinstance(lan, IPv4Network)}


def without_ids(uvn: Uvn) -> Uvn:
    return replace(
        uvn,
        cells=tuple(replace(cell, id=0) for cell in uvn.cells),
        particles=tuple(replace(particle, id=0) for particle in uvn.particles),
        next_cell=0,
        next_particle=0,
    )


@pytest.mark.feature("F046")
@pytest.mark.feature("F047")
@pytest.mark.feature("F048")
@pytest.mark.feature("F049")
@pytest.mark.feature("F050")
@pytest.mark.feature("F061")
@pytest.mark.feature("G02")
@pytest.mark.feature("G06")
@pytest.mark.feature("G09")
def test_a_registry_stays_what_it_should_be_whatever_the_commands() -> None:
    run_state_machine_as_test(
        Commands,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
