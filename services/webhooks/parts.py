"""What the routes of webhooks work with; the composition root puts it together."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.kit.database import Database
from services.webhooks.cursors import Cursors
from services.webhooks.inbox import Inbox
from services.webhooks.own_keys import OwnKeys
from services.webhooks.pings import Pinger
from services.webhooks.stories import Stories


@dataclass(frozen=True)
class Parts:
    """`allow_loopback`: endpoints may be on this machine."""

    database: Database
    keys: OwnKeys
    cursors: Cursors
    inbox: Inbox
    stories: Stories
    pinger: Pinger
    allow_loopback: bool


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Using = Annotated[Parts, Depends(_parts)]
"""Parameter of a route: the parts."""
