"""Signatures as Standard Webhooks wants them, checked by an independent implementation; secrets kept encrypted."""

import base64
import time

import pytest
from cryptography.exceptions import InvalidTag
from standardwebhooks import Webhook, WebhookVerificationError

from services.kit import keys
from services.kit.problems import Problem
from services.webhooks.cursors import Cursors
from services.webhooks.own_keys import OwnKeys
from services.webhooks.signatures import (
    decrypt_secret,
    encrypt_secret,
    new_secret,
    signed_headers,
    webhook_id,
)

BODY = '{"type":"referral.requested","data":{"name":"Zoë"}}'.encode()
OWN = OwnKeys.of(keys.generate())


def test_an_independent_implementation_accepts_the_signature() -> None:
    secret = new_secret()
    headers = signed_headers(secret, "msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers)["data"] == {"name": "Zoë"}


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp", "secret"])
def test_it_covers_body_id_time_and_secret(changed: str) -> None:
    secret = new_secret()
    headers = signed_headers(secret, "msg_1", int(time.time()), BODY)
    body = BODY.replace(b"Zo", b"Za") if changed == "body" else BODY
    if changed.startswith("webhook"):
        headers[changed] = headers[changed][:-1] + ("1" if headers[changed][-1] != "1" else "2")
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if changed == "secret" else secret).verify(body, headers)


def test_a_request_that_somebody_sends_again_later_is_refused() -> None:
    """Its time is signed: past the tolerance of Standard Webhooks, five minutes, a receiver's library takes no copy."""
    secret, sent = new_secret(), int(time.time())
    for seconds in (-360, 360):
        headers = signed_headers(secret, "msg_1", sent + seconds, BODY)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, headers)


def test_a_secret_has_256_random_bits() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}


def test_a_secret_is_kept_encrypted_in_its_row() -> None:
    secret = new_secret()
    stored = encrypt_secret(OWN.endpoint_secrets, "endpoint-1", secret)
    assert secret.encode() not in stored
    assert decrypt_secret(OWN.endpoint_secrets, "endpoint-1", stored) == secret
    with pytest.raises(InvalidTag):
        decrypt_secret(OWN.endpoint_secrets, "endpoint-2", stored)
    with pytest.raises(InvalidTag):
        decrypt_secret(OwnKeys.of(keys.generate()).endpoint_secrets, "endpoint-1", stored)


def test_a_webhook_id_is_one_per_decision_and_endpoint() -> None:
    ids = [
        webhook_id(OWN.webhook_ids, decision, endpoint) for decision in ("0/1/a", "0/2/a") for endpoint in ("e", "f")
    ]
    assert len(set(ids)) == 4
    assert webhook_id(OWN.webhook_ids, "0/1/a", "e") == ids[0]
    assert webhook_id(OwnKeys.of(keys.generate()).webhook_ids, "0/1/a", "e") != ids[0]


def test_the_keys_differ_by_use_and_are_the_same_after_a_restart() -> None:
    key = keys.generate()
    once, again = OwnKeys.of(key), OwnKeys.of(key)
    assert once == again
    assert len({once.endpoint_secrets, once.webhook_ids, once.cursors}) == 3
    assert once.cursors.hex() not in repr(once)


def test_a_cursor_is_opaque_and_good_for_its_own_list_only() -> None:
    inbox, deliveries = Cursors(OWN.cursors, "inbox"), Cursors(OWN.cursors, "deliveries")
    cursor = inbox.write("shelter", 41)
    assert inbox.read("shelter", cursor) == 41
    assert inbox.write("shelter", 41) != cursor
    for wrong, owner, text in (
        (inbox, "outreach", cursor),
        (deliveries, "shelter", cursor),
        (inbox, "shelter", cursor[:-2]),
        (inbox, "shelter", ""),
        (inbox, "shelter", "Kio"),
    ):
        with pytest.raises(Problem) as refused:
            wrong.read(owner, text)
        assert refused.value.type.status == 422
