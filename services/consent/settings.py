"""What only consent is told: its signing key, and the key under which clients' private keys are kept."""

from services.kit.keys import PrivateKeyText, SymmetricKeyText
from services.kit.lasting import PAGED_AFTER
from services.kit.settings import DatabaseSettings


class ConsentSettings(DatabaseSettings):
    """Consent's settings."""

    consent_signing_key: PrivateKeyText
    """Signs `consent.*` and `client.*`; the log knows it by the id `consent`."""
    key_encryption_key: SymmetricKeyText
    doubt_paged_after: float = PAGED_AFTER
    """Seconds after which a client still in doubt is an alarm."""
