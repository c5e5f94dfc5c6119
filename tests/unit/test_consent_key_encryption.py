"""The key-encryption port: a value opens in its own place only, and an index tells nothing without the key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.key_encryption import LocalKeyEncryption, Place, UnreadableKeyError
from services.kit import keys
from services.kit.keys import SymmetricKey

KEY = SymmetricKey(keys.generate_symmetric())
PLACE = Place("clients", "private_key", "client-1")
SECRET = b"a private key"


async def test_what_is_encrypted_opens_again_and_looks_like_nothing() -> None:
    encryption = LocalKeyEncryption(KEY)
    once, twice = await encryption.encrypt(SECRET, PLACE), await encryption.encrypt(SECRET, PLACE)
    assert await encryption.decrypt(once, PLACE) == await encryption.decrypt(twice, PLACE) == SECRET
    assert SECRET not in once
    assert once != twice, "no nonce is used twice"


@pytest.mark.parametrize("place", [PLACE._replace(**{field: "another"}) for field in Place._fields])
async def test_moved_to_another_place_it_does_not_open(place: Place) -> None:
    encryption = LocalKeyEncryption(KEY)
    with pytest.raises(UnreadableKeyError):
        await encryption.decrypt(await encryption.encrypt(SECRET, PLACE), place)


@pytest.mark.parametrize("position", [0, 12, -1])
async def test_altered_or_under_another_key_it_does_not_open(position: int) -> None:
    encrypted = bytearray(await LocalKeyEncryption(KEY).encrypt(SECRET, PLACE))
    with pytest.raises(UnreadableKeyError):
        await LocalKeyEncryption(SymmetricKey(keys.generate_symmetric())).decrypt(bytes(encrypted), PLACE)
    encrypted[position] ^= 1
    with pytest.raises(UnreadableKeyError):
        await LocalKeyEncryption(KEY).decrypt(bytes(encrypted), PLACE)
    with pytest.raises(UnreadableKeyError):
        await LocalKeyEncryption(KEY).decrypt(b"short", PLACE)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
async def test_an_index_is_equal_for_equal_parts_only(parts: list[str], others: list[str]) -> None:
    encryption = LocalKeyEncryption(KEY)
    assert (await encryption.index(*parts) == await encryption.index(*others)) is (parts == others)


async def test_an_index_takes_the_key() -> None:
    another = LocalKeyEncryption(SymmetricKey(keys.generate_symmetric()))
    assert await LocalKeyEncryption(KEY).index("local", "42") != await another.index("local", "42")


def test_no_representation_shows_the_key() -> None:
    assert KEY.raw.hex() not in repr(KEY)
