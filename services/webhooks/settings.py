"""What only webhooks is told by its environment."""

from services.kit.settings import DatabaseSettings


class WebhooksSettings(DatabaseSettings):
    """`allow_loopback_receivers` lets endpoints be on this machine, there without TLS: for a laptop only."""

    allow_loopback_receivers: bool = False
