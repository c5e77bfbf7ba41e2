from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.model.net import network


@pytest.mark.feature("F025")
@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("10.9.0.0", "10.9.0.0/24"),
        ("192.168.1.7", "192.168.1.0/24"),
        ("2001:db8:7::", "2001:db8:7::/64"),
        ("2001:db8:7::5", "2001:db8:7::/64"),
    ],
)
def test_a_network_without_prefix_length_is_refused_with_what_to_add(text: str, guess: str) -> None:
    with pytest.raises(ValueError, match=f"has no prefix length; add it, as in {guess}"):
        network(text)


@given(st.ip_addresses())
def test_an_address_alone_is_never_a_network(item: object) -> None:
    with pytest.raises(ValueError, match="no prefix length"):
        network(str(item))


@pytest.mark.parametrize("text", ["lan", "", "10.0.0", "1:2"])
def test_what_is_no_address_either_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network in CIDR notation"):
        network(text)
