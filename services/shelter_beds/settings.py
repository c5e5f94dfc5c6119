"""What only shelter_beds is told by its environment."""

from typing import Annotated

from pydantic import Field

from services.kit.settings import DatabaseSettings

AtLeastOne = Annotated[int, Field(ge=1)]


class BedsSettings(DatabaseSettings):
    """`allow_loopback_pages` lets the board's cookies go without TLS, as on one's own machine: for a laptop only.

    Of each process: `feed_connections_per_client` for one API client, behind which may be a whole agency's screens, and
    `feed_filters` that all of its readers may have between them.
    """

    allow_loopback_pages: bool = False
    feed_connections_per_client: AtLeastOne = 2000
    feed_filters: AtLeastOne = 1000
