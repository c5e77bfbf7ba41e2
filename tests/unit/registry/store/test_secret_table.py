from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.registry.publish import keygen
from uno.registry.store.generation_store import Store, StoreError
from uno.registry.store.passphrase_cache import PassphraseCache, _no_passphrase, passphrases

PAIR, PSK = keygen.new_pair("a"), keygen.new_shared("b", keygen.PSK)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two secrets, sealed with a passphrase."""
    token = passphrases.set(PassphraseCache(lambda: "correct horse"))
    made = Store.create(tmp_path / "registry.db")
    with made.transaction():
        made.secret_table.seal("correct horse")
        made.put_secrets([PAIR, PSK])
    yield made
    made.close()
    passphrases.reset(token)


def reopened(store: Store, reported: str = "correct horse") -> Store:
    passphrases.set(PassphraseCache(lambda: reported))
    return Store(store._path)


@pytest.mark.feature("G27")
def test_sealed_secrets_are_read_as_they_were_written(store: Store) -> None:
    opened = reopened(store)

    assert opened.secrets() == {"a": PAIR, "b": PSK}
    opened.close()


@pytest.mark.feature("G27")
def test_no_private_half_is_in_the_file(store: Store) -> None:
    content = store._path.read_bytes()

    assert PAIR.private not in content
    assert PSK.private not in content


@pytest.mark.feature("G27")
def test_public_halves_are_there_without_the_passphrase(store: Store) -> None:
    opened = reopened(store, "not this one")

    assert opened.secret_table.public_half("a") == PAIR.public
    with pytest.raises(UnoError, match="not the passphrase"):
        opened.secrets()
    with pytest.raises(UnoError, match="not the passphrase"):
        opened.put_secrets([keygen.new_pair("c")])
    opened.close()


def test_without_a_terminal_the_error_names_what_to_set(store: Store) -> None:
    passphrases.set(PassphraseCache(_no_passphrase))

    with pytest.raises(UnoError, match="encrypted with a passphrase; set UNO") as refused:
        store.secrets()

    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    "change",
    ["kind = 'psk'", "epoch = 7", "public = X'00'", "private = X'00'", "nonce = NULL"],
)
def test_a_row_that_was_altered_is_an_error(store: Store, change: str) -> None:
    store.database.do(f"UPDATE secrets SET {change} WHERE id = 'a'")  # noqa: S608

    with pytest.raises(StoreError, match=r"the secret a in .* is damaged; restore it"):
        store.secrets()


def test_secrets_of_two_rows_cannot_be_exchanged(store: Store) -> None:
    with store.transaction():
        store.put_secrets([keygen.new_shared("c", keygen.PSK)])
    store.database.do(
        "UPDATE secrets SET (private, nonce) ="
        " (SELECT private, nonce FROM secrets WHERE id = 'b') WHERE id = 'c'"
    )

    with pytest.raises(StoreError, match="the secret c"):
        store.secrets()


def test_sealed_rows_without_their_lock_are_not_taken_for_keys(store: Store) -> None:
    store.database.do("DELETE FROM lock")

    with pytest.raises(StoreError, match="is damaged"):
        store.secrets()


@pytest.mark.feature("G27")
def test_another_passphrase_is_another_data_key_and_the_old_one_opens_nothing(
    store: Store,
) -> None:
    before = store.database.rows("SELECT private FROM secrets")

    with store.transaction():
        store.secret_table.seal("battery staple")

    assert store.database.rows("SELECT private FROM secrets") != before
    with pytest.raises(UnoError, match="not the passphrase"):
        reopened(store).secrets()
    assert reopened(store, "battery staple").secrets() == {"a": PAIR, "b": PSK}


def test_a_passphrase_can_be_taken_away(store: Store) -> None:
    with store.transaction():
        store.secret_table.seal(None)

    assert not store.secret_table.is_sealed
    assert reopened(store, "whatever it is").secrets() == {"a": PAIR, "b": PSK}


def test_sealing_leaves_no_clear_text_behind(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "registry.db")
    many = [keygen.new_shared(f"k{i}", keygen.PSK) for i in range(500)]
    with store.transaction():
        store.put_secrets(many)
    assert many[7].private in store._path.read_bytes()

    with store.transaction():
        store.secret_table.seal("correct horse")
    store.close()

    content = store._path.read_bytes()
    assert not [each.id for each in many if each.private in content]
