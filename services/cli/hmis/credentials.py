"""Keeps the API clients that an import made, one per organization, so that the next import can act again.

The services show a secret once. Whoever can read this file can act as these organizations: it is 0600, in the stack's
own home. A lost or damaged one costs nothing but new API clients.
"""

import json
from collections.abc import Collection
from pathlib import Path

from deploy.local.home import write_private
from services.cli.hmis.client import CannotImport, Credential


class Credentials:
    """The credentials by organization, in one file; one that was made for fewer `scopes` is as good as lost."""

    def __init__(self, file: Path, scopes: Collection[str] = ()) -> None:
        self._file = file
        self._scopes = sorted(scopes)
        self._kept = _read(file, scopes)

    def of(self, organization_id: str) -> Credential | None:
        """Return what is kept for an organization."""
        return self._kept.get(organization_id)

    def keep(self, organization_id: str, credential: Credential) -> None:
        """Write a credential down at once: nobody will say the secret again. CannotImport if that fails."""
        self._kept[organization_id] = credential
        content = {
            id_: {"client_id": each.client_id, "client_secret": each.client_secret, "scopes": self._scopes}
            for id_, each in self._kept.items()
        }
        try:
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(self._file, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            raise CannotImport(f"{self._file} cannot be written ({error.strerror}).") from None


def _read(file: Path, scopes: Collection[str]) -> dict[str, Credential]:
    try:
        kept = json.loads(file.read_text())
        return {
            str(organization_id): Credential(each["client_id"], each["client_secret"])
            for organization_id, each in kept.items()
            if set(scopes) <= set(each.get("scopes", ()))
        }
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}
