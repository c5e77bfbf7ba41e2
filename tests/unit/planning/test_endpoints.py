from __future__ import annotations

import pytest

from uno.planning.endpoints import host_port


@pytest.mark.feature("G32")
@pytest.mark.parametrize(
    ("endpoint", "written"),
    [
        ("lan-a.example.org", "lan-a.example.org:63550"),
        ("192.0.2.1", "192.0.2.1:63550"),
        ("2001:db8::1", "[2001:db8::1]:63550"),
    ],
)
def test_only_an_ipv6_address_stands_in_brackets(endpoint: str, written: str) -> None:
    assert host_port(endpoint, 63550) == written
