"""Tickets of the registry: for one user, one cell, five minutes."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as some

from uno.web.login_ticket import LIFETIME, LoginTicket, TicketError, signed, verified

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = b64encode(KEY.public_key().public_bytes_raw()).decode()
TICKET = LoginTicket(email="owner@example.org", cell=3, expires=1000.0, nonce="n")
TEXT = signed(TICKET, sign=KEY.sign)


@pytest.mark.feature("F116")
def test_a_ticket_opens_its_cell_until_it_is_too_old() -> None:
    for now in (1000.0, 1000.0 - LIFETIME):
        assert verified(TEXT, registry_key=PUBLIC, cell=3, now=now) == TICKET
    with pytest.raises(TicketError, match="too old"):
        verified(TEXT, registry_key=PUBLIC, cell=3, now=1001.0)
    with pytest.raises(TicketError, match="clock"):
        verified(TEXT, registry_key=PUBLIC, cell=3, now=1000.0 - 3 * LIFETIME)
    with pytest.raises(TicketError, match="another cell"):
        verified(TEXT, registry_key=PUBLIC, cell=4, now=900.0)


@pytest.mark.feature("F116")
@given(some.integers(0, len(TEXT) - 1), some.characters(codec="utf-8"))
def test_a_ticket_that_was_changed_opens_nothing(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    try:
        found = verified(changed, registry_key=PUBLIC, cell=3, now=900.0)
    except TicketError:
        return
    # Base64 has several texts for the same bytes at its end.
    assert found == TICKET


@pytest.mark.feature("F116")
@given(some.text())
def test_any_other_text_opens_nothing(text: str) -> None:
    with pytest.raises(TicketError):
        verified(text, registry_key=PUBLIC, cell=3, now=900.0)


@pytest.mark.feature("F116")
def test_what_the_registry_signs_elsewhere_is_no_ticket() -> None:
    content = TEXT.partition(".")[0]
    other = b64encode(KEY.sign(b"something else" + content.encode())).decode()
    with pytest.raises(TicketError):
        verified(f"{content}.{other}", registry_key=PUBLIC, cell=3, now=900.0)
