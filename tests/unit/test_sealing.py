"""Sealing: what is sealed opens in its own place and circumstances, and nowhere else."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policy.base64url import decode, encode
from schemas.categories import CATEGORIES
from schemas.events import DataCategory, Envelope, Party, Recipient, Referral, ReferralData
from services.kit.client_keys import SUITES, ClientKeyPair, generate_client_keys
from services.kit.sealing import SealContext, SealError, box_key, open_box, seal, unwrap

KEYS = {suite: generate_client_keys(suite) for suite in SUITES}
CONTEXT = SealContext(
    log_id="log-1",
    client_id="client-0000000001",
    originator=Party(organization="outreach", project="street"),
    referral_id="referral-1",
    purpose="shelter-placement",
    recipients=(Party(organization="shelter", project="nights"), Party(organization="annex")),
)
IDENTITY = {"first_name": "Rosa", "name_data_quality": 1}


def _seal(categories: Mapping[DataCategory, Mapping[str, object]], suite: str = "x25519") -> Envelope:
    return seal(categories, CONTEXT, public_key=KEYS[suite].public_key, key_id="key-1", seq=1, suite=suite)


def _open(envelope: Envelope, box: DataCategory, **elsewhere: object) -> dict[str, object]:
    key = box_key(unwrap(envelope, CONTEXT, KEYS[envelope.suite].private_key), box)
    place = {"client_id": CONTEXT.client_id, "referral_id": CONTEXT.referral_id, "seq": 1, "category": box}
    return open_box(envelope.boxes[box], key, **(place | elsewhere))  # type: ignore[arg-type]


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_sealed_opens_again(suite: str) -> None:
    envelope = _seal({"identity": IDENTITY, "notes": {"text": "knock twice"}}, suite)
    assert _open(envelope, "identity") == IDENTITY
    assert _open(envelope, "notes") == {"text": "knock twice"}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(
    "changes",
    [
        {"log_id": "log-2"},
        {"client_id": "client-0000000002"},
        {"originator": Party(organization="another", project="street")},
        {"originator": Party(organization="outreach", project="van")},
        {"originator": Party(organization="outreach")},
        {"referral_id": "referral-2"},
        {"purpose": "housing-placement"},
        {"recipients": (Party(organization="shelter", project="nights"),)},
        {"recipients": (*CONTEXT.recipients, Party(organization="third"))},
        {"recipients": (Party(organization="shelter", project="days"), Party(organization="annex"))},
        {"recipients": (Party(organization="shelter"), Party(organization="annex", project="nights"))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_under_any_other_circumstances_the_seal_key_stays_closed(suite: str, changes: dict[str, object]) -> None:
    with pytest.raises(SealError):
        unwrap(_seal({"identity": IDENTITY}, suite), replace(CONTEXT, **changes), KEYS[suite].private_key)


@pytest.mark.parametrize("changes", [{"key_id": "key-2"}, {"suite": "mlkem768-x25519"}, {"suite": "none"}])
def test_another_key_id_or_suite_opens_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(SealError):
        unwrap(replace(_seal({"identity": IDENTITY}), **changes), CONTEXT, KEYS["x25519"].private_key)


@pytest.mark.parametrize("suite", SUITES)
def test_another_client_s_key_opens_nothing(suite: str) -> None:
    with pytest.raises(SealError):
        unwrap(_seal({"identity": IDENTITY}, suite), CONTEXT, generate_client_keys(suite).private_key)


def test_the_order_of_recipients_is_not_a_circumstance() -> None:
    turned = replace(CONTEXT, recipients=CONTEXT.recipients[::-1])
    assert unwrap(_seal({"identity": IDENTITY}), turned, KEYS["x25519"].private_key)


def test_the_context_is_read_from_the_event_without_its_references() -> None:
    recipients = tuple(
        Recipient(organization=party.organization, project=party.project, reference="random-one")
        for party in CONTEXT.recipients
    )
    data = ReferralData(
        client_id=CONTEXT.client_id,
        publisher=Party(organization="shelter"),
        recipients=recipients,
        purpose=CONTEXT.purpose,
        referral=Referral(id=CONTEXT.referral_id, originator=CONTEXT.originator, version=3, status="accepted"),
    )
    assert SealContext.of("log-1", data) == CONTEXT


@pytest.mark.parametrize(
    "elsewhere",
    [{"client_id": "client-0000000002"}, {"referral_id": "referral-2"}, {"seq": 2}, {"category": "health"}],
    ids=lambda elsewhere: next(iter(elsewhere)),
)
def test_a_box_that_was_moved_stays_closed(elsewhere: dict[str, object]) -> None:
    with pytest.raises(SealError):
        _open(_seal({"identity": IDENTITY}), "identity", **elsewhere)


def test_one_category_s_key_does_not_open_another_category_s_box() -> None:
    envelope = _seal({"identity": IDENTITY, "health": {"general_health_status": 4}})
    keys = {name: box_key(unwrap(envelope, CONTEXT, KEYS["x25519"].private_key), name) for name in CATEGORIES}
    assert len(set(keys.values())) == len(CATEGORIES)
    with pytest.raises(SealError):
        open_box(
            envelope.boxes["health"],
            keys["identity"],
            client_id=CONTEXT.client_id,
            referral_id=CONTEXT.referral_id,
            seq=1,
            category="health",
        )


def _flipped(text: str) -> str:
    raw = bytearray(decode(text))
    raw[len(raw) // 2] ^= 1
    return encode(bytes(raw))


@pytest.mark.parametrize("damage", [_flipped, lambda text: text[:-4], lambda _: "", lambda text: text + "!"])
def test_damage_is_refused(damage: Callable[[str], str]) -> None:
    envelope = _seal({"identity": IDENTITY})
    with pytest.raises(SealError):
        unwrap(replace(envelope, wrapped=damage(envelope.wrapped)), CONTEXT, KEYS["x25519"].private_key)
    with pytest.raises(SealError):
        _open(replace(envelope, boxes={"identity": damage(envelope.boxes["identity"])}), "identity")


def test_a_length_tells_only_a_step() -> None:
    lengths = {len(_seal({"notes": {"text": "x" * size}}).boxes["notes"]) for size in range(1, 240)}
    assert len(lengths) == 1
    overhead = 12 + 16  # nonce and tag
    assert {len(decode(_seal({"notes": {"text": "x" * size}}).boxes["notes"])) - overhead for size in (1, 300)} == {
        256,
        512,
    }


def test_no_nonce_and_no_key_is_used_twice() -> None:
    boxes = [box for _ in range(500) for box in _seal({"identity": IDENTITY, "notes": {"text": "same"}}).boxes.values()]
    assert len({decode(box)[:12] for box in boxes}) == len(boxes)
    opened = {unwrap(_seal({"identity": IDENTITY}), CONTEXT, KEYS["x25519"].private_key) for _ in range(50)}
    assert len(opened) == 50


def test_an_error_tells_nothing_of_what_is_inside() -> None:
    with pytest.raises(SealError) as failure:
        _open(_seal({"identity": IDENTITY}), "identity", seq=9)
    assert "Rosa" not in str(failure.value)
    assert failure.value.__cause__ is None


@pytest.mark.parametrize("key", ["", "AAAA", "!", generate_client_keys("mlkem768-x25519").public_key])
def test_sealing_to_something_that_is_no_key_of_the_suite_is_a_value_error(key: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seal({"identity": IDENTITY}, CONTEXT, public_key=key, key_id="key-1", seq=1, suite="x25519")


def test_keys_are_raw_bytes_and_unpadded_base64url() -> None:
    lengths = {suite: (len(pair.private_key), len(decode(pair.public_key))) for suite, pair in KEYS.items()}
    assert lengths == {"x25519": (32, 32), "mlkem768-x25519": (64 + 32, 1184 + 32)}
    assert isinstance(KEYS["x25519"], ClientKeyPair)
    with pytest.raises(ValueError, match="unknown suite"):
        generate_client_keys("rot13")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(st.sampled_from(["a", "b", "text"]), values), category=st.sampled_from(CATEGORIES))
def test_any_json_object_comes_back_as_it_was(data: dict[str, object], category: DataCategory) -> None:
    envelope = _seal({category: data})
    assert _open(envelope, category) == data
    assert (len(decode(envelope.boxes[category])) - 28) % 256 == 0


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 2**16), bit=st.integers(0, 7))
def test_no_single_flipped_bit_opens(position: int, bit: int) -> None:
    envelope = _seal({"identity": IDENTITY})
    raw = bytearray(decode(envelope.boxes["identity"]))
    raw[position % len(raw)] ^= 1 << bit
    with pytest.raises(SealError):
        _open(replace(envelope, boxes={"identity": encode(bytes(raw))}), "identity")
