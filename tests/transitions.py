"""Plans and packages of a six-cell UVN, and a clock, for tests of changes of package."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from uno.model.package import Manifest, Package
from uno.model.plan import Plan
from uno.model.uvn import Cell, DeploymentSettings, Settings, Strategy, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan, required_keys, with_keys

OWNER = "owner@example.org"


def uvn(*, cells: int = 6, strategy: Strategy = Strategy.CROSSED) -> Uvn:
    return Uvn(
        name="net",
        identity="0123456789abcdef0123456789abcdef",
        owner=OWNER,
        users=(User(email=OWNER),),
        cells=tuple(
            Cell(id=n, name=f"c{n}", owner=OWNER, address=f"c{n}.example.org")
            for n in range(1, cells + 1)
        ),
        settings=Settings(deployment=DeploymentSettings(strategy=strategy)),
        next_cell=cells + 1,
    )


def planned(definition: Uvn, parent: Plan | None = None) -> Plan:
    made = plan(definition, parent)
    kept = parent.public_keys if parent else {}
    pairs = required_keys(made).pairs
    return with_keys(made, {name: kept.get(name) or key(f"public {name}") for name in pairs})


def rekeyed(made: Plan) -> Plan:
    links = (name for name in made.public_keys if name.startswith("link/"))
    return with_keys(made, made.public_keys | {name: key(f"new {name}") for name in links})


def package_of(made: Plan, cell: int = 1) -> Package:
    own = cell_plans(made)[cell]
    needed = required_keys(made)
    secrets = {name: key(f"private of {made.public_keys[name]}") for name in needed.pairs}
    return Package(
        manifest=Manifest(
            format=1,
            uvn=made.uvn,
            identity=made.identity,
            cell=cell,
            cell_name=own.name,
            generation=1,
            registry_key="",
            digests={},
        ),
        roster=roster(made),
        plan=own,
        secrets=secrets | {name: key(name) for name in needed.psks},
    )


def key(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


CROSSED = planned(uvn())
RING = planned(uvn(strategy=Strategy.CIRCULAR), CROSSED)


class Clock:
    """Time that passes when a caller pauses."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds
