"""What only governance is told: the root key, its signing key, consent's public one, the administrator's credential."""

from typing import Self

from pydantic import SecretStr, model_validator

from services.kit import keys
from services.kit.keys import PrivateKeyText, PublicKeyText
from services.kit.lasting import PAGED_AFTER
from services.kit.problems import refusal
from services.kit.settings import DatabaseSettings


class GovernanceSettings(DatabaseSettings):
    """Governance's settings; it alone has the root key."""

    root_key: PrivateKeyText
    governance_signing_key: PrivateKeyText
    consent_public_key: PublicKeyText
    """The public half of consent's signing key, which genesis puts on the log."""
    admin_client_id: str
    admin_client_secret: SecretStr
    doubt_paged_after: float = PAGED_AFTER
    """Seconds after which a partition whose control records are still in doubt is an alarm."""

    @model_validator(mode="after")
    def _root_key_is_the_pinned_one(self) -> Self:
        if keys.fingerprint(self.root_key.public_key()) != self.root_fingerprint:
            raise refusal("must be the fingerprint of THRESHOLD_ROOT_KEY")
        return self
