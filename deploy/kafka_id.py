"""Ids in the form that Kafka has for them."""

import uuid

from policy import base64url


def new_kafka_id() -> str:
    """Make the id of a cluster or of a folder of its storage."""
    # Kafka's own form of a UUID: 22 characters of base64url. A version 4 UUID may begin with "-", which the tool
    # would take for an option, so its first byte is set to a letter's.
    return base64url.encode(b"k" + uuid.uuid4().bytes[1:])
