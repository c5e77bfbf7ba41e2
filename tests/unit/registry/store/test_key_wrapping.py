from __future__ import annotations

import pytest

from uno.diagnostics import UnoError
from uno.registry.store import key_wrapping
from uno.registry.store.key_wrapping import KdfParameters, SealedSecret, WrongPassphrase
from uno.registry.store.passphrase_cache import PassphraseCache

pytestmark = pytest.mark.usefixtures("full_password_costs")


@pytest.mark.feature("G27")
def test_who_has_the_passphrase_opens_what_was_sealed() -> None:
    lock, made = key_wrapping.wrapped("correct horse")
    sealed = made.seal(b"secret", name=b"place")

    opened = key_wrapping.unwrapped(lock, "correct horse", of="it")

    assert opened.unseal(sealed, name=b"place") == b"secret"
    # RFC 9106, section 4: the second recommended choice.
    cost = lock.parameters
    assert (cost.memory, cost.passes, cost.lanes, len(cost.salt)) == (64 << 10, 3, 4, 16)
    assert b"secret" not in sealed.content


@pytest.mark.feature("G27")
def test_another_passphrase_is_refused_in_one_line() -> None:
    lock, _ = key_wrapping.wrapped("correct horse")

    with pytest.raises(WrongPassphrase, match="is not the passphrase of it; give the") as refused:
        key_wrapping.unwrapped(lock, "battery staple", of="it")

    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)


def test_what_was_moved_or_changed_cannot_be_opened() -> None:
    _, made = key_wrapping.wrapped("correct horse")
    sealed = made.seal(b"secret", name=b"place")

    assert made.unseal(sealed, name=b"elsewhere") is None
    assert made.unseal(SealedSecret(sealed.nonce, sealed.content[:-1]), name=b"place") is None
    assert made.unseal(SealedSecret(b"", b""), name=b"place") is None


def test_the_same_secret_is_never_encrypted_the_same_twice() -> None:
    _, made = key_wrapping.wrapped("correct horse")

    assert made.seal(b"secret", name=b"place") != made.seal(b"secret", name=b"place")


def test_letters_typed_as_one_code_point_or_two_are_the_same_passphrase() -> None:
    lock, made = key_wrapping.wrapped("caf\u00e9 au lait")

    assert key_wrapping.unwrapped(lock, "cafe\u0301 au lait", of="it") == made


def test_a_lock_that_asks_for_all_memory_is_refused() -> None:
    greedy = KdfParameters(salt=b"x" * 16, memory=1 << 30)

    with pytest.raises(UnoError, match="the key derivation parameters are out of range"):
        key_wrapping.derived("correct horse", greedy)


def test_a_passphrase_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(UnoError, match="it has 5 characters; choose a passphrase of 8 or more"):
        key_wrapping.refuse_weak("short", "it")


def test_secrets_do_not_print_themselves() -> None:
    _, made = key_wrapping.wrapped("correct horse")

    assert repr(made) == "DataKey()"


def test_a_keyring_asks_once() -> None:
    lock, made = key_wrapping.wrapped("correct horse")
    asked = []

    def ask() -> str:
        asked.append(1)
        return "correct horse"

    ring = PassphraseCache(ask)

    assert ring.open(lock, of="it") == ring.open(lock, of="it") == made
    assert len(asked) == 1
