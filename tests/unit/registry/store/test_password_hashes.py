from __future__ import annotations

import argon2
import pytest

from uno.registry.store import password_hashes

pytestmark = pytest.mark.usefixtures("full_password_costs")


def test_a_password_is_kept_as_an_argon2id_hash_of_its_own() -> None:
    one, other = password_hashes.hashed("secret"), password_hashes.hashed("secret")

    # RFC 9106, section 4: the second recommended choice.
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert one != other
    assert argon2.PasswordHasher().verify(one, "secret")
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(one, "guess")
