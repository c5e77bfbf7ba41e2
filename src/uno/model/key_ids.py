"""Key ids: the names under which secrets are kept, and what kind each is.

A pair id names an X25519 key pair (an Ed25519 one where noted), a psk id 32 bytes that both
ends share (WireGuard's PresharedKey). Ids are built from cell ids and not from names, so that
renaming re-keys nothing.
"""

from __future__ import annotations

from msgspec import Struct

ROOT_REGISTRY = "root/registry"

# The Ed25519 pair that the registry signs packages and messages with.
REGISTRY_SIGNING = "registry/sign"

# The secret that the certificates of all pages follow from. It never leaves the registry.
WEB_ROOT = "web/root"

# In a package, what a cell's page needs (`model.web_access`).
WEB = "web"


def root_pair(cell: int) -> str:
    """The key pair of a cell in the root VPN."""
    return f"root/{cell}"


def root_psk(cell: int) -> str:
    """The preshared key between the registry and a cell."""
    return f"root/{cell}/psk"


def link_pair(link: str, cell: int) -> str:
    """The key pair of `cell` on the backbone link named `link`."""
    return f"link/{link}/{cell}"


def link_psk(link: str) -> str:
    """The preshared key of a backbone link."""
    return f"link/{link}/psk"


def particles_hub_pair(cell: int) -> str:
    """The key pair that a cell shows to particles."""
    return f"particles/{cell}"


def cell_signing(cell: int) -> str:
    """The Ed25519 pair that a cell signs its status and acknowledgements with."""
    return f"cell/{cell}/sign"


NOTIFICATIONS = "notifications"
"""Who a cell notifies: no key, but JSON in base64 (`model.notification_targets.Notifying`)."""


def is_signing(key: str) -> bool:
    """Whether the pair of this id is an Ed25519 one."""
    return key.endswith("/sign")


def cell_sealing(cell: int) -> str:
    """The X25519 pair that packages for a cell are sealed to."""
    return f"cell/{cell}/seal"


class Secret(Struct, frozen=True):
    """Secret text (a base64 key). It prints as `Secret(…)`, never as itself."""

    reveal: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


def particle_seed(particle: int) -> str:
    """The id of the secret that all keys of a particle are derived from."""
    return f"particle/{particle}"


def hub_seed(cell: int) -> str:
    """The id of the secret that the keys of all particles at a cell are derived from."""
    return f"hub/{cell}"


def pair_seed(particle: int, cell: int) -> str:
    """The id of the secret that, where there is one, re-keys a particle at one cell."""
    return f"particle/{particle}/{cell}"
