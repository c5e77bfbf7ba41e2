from __future__ import annotations

import json
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
@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("uvn -P", ""),
        ("cell a -P", " to a"),
        ("particle phone", ""),
        ("particle phone -c a", " to a"),
    ],
)
def test_phones_that_stop_until_they_have_their_new_package_are_named(
    site: Uno, words: str, where: str
) -> None:
    noted = (
        f"once cells have the new keys, phone cannot connect{where} until its new package is"
        " imported"
    )

    assert noted in " ".join(site("rekey", *words.split()).out.split())
    site("define", "particle", "tablet")
    later = " ".join(site("rekey", *words.split()).out.split())
    if "particle" in words:
        assert noted in later
    else:
        assert f"2 particles cannot connect{where} until their new packages are imported" in later


@pytest.mark.feature("F050")
@pytest.mark.parametrize("words", ["uvn -R", "cell a -B", "backbone"])
def test_other_keys_do_not_stop_phones(site: Uno, words: str) -> None:
    assert "cannot connect" not in site("rekey", *words.split()).out


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


@pytest.mark.feature("G54")
def test_after_a_theft_the_new_package_is_to_be_carried_by_hand(site: Uno) -> None:
    done = site("rekey", "cell", "a", "--stolen")

    words = " ".join(done.out.split())
    assert done.status == 0
    assert "~ cell a new keys to sign and to open packages" in words
    assert "cells refuse the old keys of a with uno sync, or once the registry's agent" in words
    assert "carry cells/net__a.uvn-agent to the host of a by hand" in words


@pytest.mark.feature("G54")
def test_a_rehearsal_of_it_states_nothing_about_agents(site: Uno) -> None:
    assert "cells refuse" not in site("rekey", "cell", "a", "--stolen", "--dry-run").out


@pytest.mark.feature("G54")
def test_all_keys_are_not_replaced_together_with_some(site: Uno) -> None:
    refused = site("rekey", "cell", "a", "--stolen", "-P")

    assert refused.status == 2
    assert "--stolen: --stolen replaces all keys of the cell; leave -R, -P and -B out" in (
        " ".join(refused.err.split())
    )


@pytest.mark.feature("G54")
def test_the_fingerprints_of_the_registry_s_keys_are_shown(site: Uno) -> None:
    first = fingerprint(site)

    done = site("rekey", "registry")

    shown = json.loads(site("show", "uvn", "-J").out)
    assert done.status == 0
    assert "registry  new key that signs packages and messages" in done.out
    assert "make a backup" in done.out
    assert shown["fingerprint"] != first
    assert shown["earlier_fingerprints"] == [first]
    text = site("show", "uvn").out
    assert shown["fingerprint"] in text
    assert first in text


def fingerprint(site: Uno) -> str:
    found: str = json.loads(site("show", "uvn", "-J").out)["fingerprint"]
    return found
