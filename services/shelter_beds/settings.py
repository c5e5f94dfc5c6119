"""What only shelter_beds is told by its environment."""

from services.kit.settings import DatabaseSettings


class BedsSettings(DatabaseSettings):
    """`allow_loopback_pages` lets the board's cookies go without TLS, as on one's own machine: for a laptop only."""

    allow_loopback_pages: bool = False
