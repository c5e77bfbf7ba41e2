"""The acceptance world: four public LANs, a private one, a relay, a particle, a registry.

All public LANs are behind routers that forward the agents' ports; cells 1 and 3 and the relay serve
particles. The same UVN is written as a specification, and as the commands that come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uno.lab import rehearsal
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.world import temporary_world

LANS = {
    "cell1": "10.230.254.0/24",
    "cell2": "10.230.253.0/24",
    "cell3": "10.230.252.0/24",
    "cell4": "10.230.251.0/24",
    "private1": "10.230.250.0/24",
}
SERVING = ("cell1", "cell3", "relay1")
NOT_SERVING = ("cell2", "cell4", "private1")
OWNER = "john@example.org"

SPEC = f"""\
name: acceptance
address: registry.example.net
owner: {OWNER}
users:
  - {{email: {OWNER}, name: John Doe, password: johns-password}}
  - {{email: jane@example.org, name: Jane Doe, password: janes-password}}
cells:
  - {{name: cell1, address: cell1.example.net, allowed_lans: [{LANS["cell1"]}]}}
  - name: cell2
    address: cell2.example.net
    allowed_lans: [{LANS["cell2"]}]
    settings: {{enable_particles_vpn: false}}
  - {{name: cell3, address: cell3.example.net, allowed_lans: [{LANS["cell3"]}]}}
  - name: cell4
    address: cell4.example.net
    allowed_lans: [{LANS["cell4"]}]
    settings: {{enable_particles_vpn: false}}
  - {{name: relay1, address: relay1.example.net}}
  - {{name: private1, owner: jane@example.org, allowed_lans: [{LANS["private1"]}]}}
particles:
  - {{name: particle1, owner: jane@example.org}}
"""

COMMANDS = (
    f"define uvn acceptance -o {OWNER} -p johns-password -a registry.example.net -y",
    "define user jane@example.org -n Jane -p janes-password",
    f"define cell cell1 -a cell1.example.net -N {LANS['cell1']}",
    f"define cell cell2 -a cell2.example.net -N {LANS['cell2']} --disable-particles-vpn",
    f"define cell cell3 -a cell3.example.net -N {LANS['cell3']}",
    f"define cell cell4 -a cell4.example.net -N {LANS['cell4']} --disable-particles-vpn",
    "define cell relay1 -a relay1.example.net",
    f"define cell private1 -N {LANS['private1']} -o jane@example.org",
    "define particle particle1 -o jane@example.org",
)


@contextmanager
def acceptance(how: str, folder: Path) -> Iterator[Deployment]:
    """The world with the UVN installed on all cells; defined by a `spec`, or by `commands`."""
    spec = folder / "uvn.yml"
    spec.write_text(SPEC)
    uvn = rehearsal.definition(spec)
    with temporary_world(arrange(uvn, hosts_per_lan=1, direct=frozenset())) as world:
        deployment = Deployment(world=world, uvn=uvn.name)
        if how == "spec":
            deployment.define(spec)
        else:
            for command in COMMANDS:
                deployment.registry(*command.split())
        deployment.install()
        yield deployment
