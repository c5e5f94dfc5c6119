"""What only consent is told: its keys, and what it needs for clients' cards."""

from typing import Annotated

from pydantic import Field

from services.kit.keys import PrivateKeyText, SymmetricKeyText
from services.kit.lasting import PAGED_AFTER
from services.kit.settings import DatabaseSettings


class ConsentSettings(DatabaseSettings):
    """Consent's settings."""

    consent_signing_key: PrivateKeyText
    """Signs `consent.*` and `client.*`; the log knows it by the id `consent`."""
    key_encryption_key: SymmetricKeyText
    client_code_days: Annotated[int, Field(ge=1, le=365)] = 90
    """For how long a client code is good."""
    help_line: Annotated[str | None, Field(max_length=40, pattern=r"^[0-9 +().-]{3,40}$")] = None
    """A phone number that stands on clients' cards: whoever answers it tells nobody anything of who calls."""
    doubt_paged_after: float = PAGED_AFTER
    """Seconds after which a client still in doubt is an alarm."""
