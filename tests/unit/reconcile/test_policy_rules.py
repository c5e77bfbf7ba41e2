"""Which tables are looked up before the main one, by the rules of known programs."""

from __future__ import annotations

import pytest

from uno.reconcile.policy_rules import PolicyRule, tables_before_main

LOCAL = PolicyRule(version=4, priority=0, table=255)
MAIN = PolicyRule(version=4, priority=32766, table=254)
DEFAULT = PolicyRule(version=4, priority=32767, table=253)

# As Tailscale has them (util/linuxfw and wgengine/router).
TAILSCALE = (
    PolicyRule(version=4, priority=5210, table=254, is_selective=True),
    PolicyRule(version=4, priority=5230, table=253, is_selective=True),
    PolicyRule(version=4, priority=5250, table=None, is_selective=True),
    PolicyRule(version=4, priority=5270, table=52),
)
# As wg-quick(8) has them for a peer with 0.0.0.0/0.
WG_QUICK = (
    PolicyRule(version=4, priority=32764, table=254, suppressed=0),
    PolicyRule(version=4, priority=32765, table=51820),
)


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ((), ()),
        (TAILSCALE, (52,)),
        (WG_QUICK, ()),
        ((*TAILSCALE, *WG_QUICK), (52,)),
        ((PolicyRule(version=4, priority=40000, table=9),), ()),
        ((PolicyRule(version=6, priority=9, table=9),), ()),
        ((PolicyRule(version=4, priority=9, table=9, is_selective=True),), ()),
        ((PolicyRule(version=4, priority=9, table=9, suppressed=0),), ()),
        (
            (
                PolicyRule(version=4, priority=9, table=9),
                PolicyRule(version=4, priority=8, table=8),
            ),
            (8, 9),
        ),
    ],
)
def test_tables_for_every_packet_count_up_to_the_main_one(
    rules: tuple[PolicyRule, ...], found: tuple[int, ...]
) -> None:
    assert tables_before_main((DEFAULT, MAIN, *rules, LOCAL), version=4) == found
