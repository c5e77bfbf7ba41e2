from __future__ import annotations

from pathlib import Path

import pytest

from commands import Uno
from uno.registry.changes import operations


@pytest.mark.feature("F050")
@pytest.mark.parametrize(
    "words",
    [
        "uvn -R",
        "uvn -P",
        "uvn -R -P",
        "uvn -B",
        "cell a -R",
        "cell a -P",
        "cell a -R -P",
        "cell a -B",
        "particle phone",
        "particle phone -c a",
        "particle phone -c a -c b",
        "backbone",
        "backbone a",
        "backbone a:b",
    ],
)
def test_every_variant_works_twice_in_a_row(site: Uno, root: Path, words: str) -> None:
    first, second = (site("rekey", *words.split()) for _ in range(2))

    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert "Replaced keys of" in second.out
    with operations.opened(root) as registry:
        assert registry.store.head().number == 6


@pytest.mark.feature("F050")
@pytest.mark.parametrize("words", ["uvn", "cell a"])
def test_without_a_network_the_choices_are_listed(site: Uno, words: str) -> None:
    refused = site("rekey", *words.split())

    assert refused.status == 2
    assert "add -R for the root VPN, -P for the particle VPN, or -B" in refused.err


@pytest.mark.feature("F051")
@pytest.mark.parametrize("words", ["uvn -R -B", "cell a -P -B -R"])
def test_the_root_vpn_and_the_backbone_are_not_rekeyed_together(site: Uno, words: str) -> None:
    refused = site("rekey", *words.split())

    assert refused.status == 2
    assert "cannot be combined" in refused.err
