"""Follows what one partition's records leave in doubt, or take back, and remembers far less than its fold. Pure."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from policy.consents import NONE
from policy.control import KEY_PREFIX, Control
from policy.parse import Refused, check_key, keys_in_doubt, parse
from policy.state import PartitionState
from policy.step import Fold, Headers
from schemas.events import ClientConsents
from schemas.records import ReferralEnteredInError

# In canonical form the type stands last.
_SAYS_IN_ERROR: Final = f'"{ReferralEnteredInError.__struct_config__.tag}"}}'.encode()


class Doubts:
    """One partition's control state; with `of_clients` which clients are in doubt, of their grants the renewed alone.

    What narrows is kept, so that tables which have lost some of it are found out; so is a renewal, which may permit
    less than what it renewed. What can put nobody in doubt, a referral's event, is not folded: that would take as long
    as deciding it. Of these only the word counts that a referral was entered in error, whatever was decided on it: in
    doubt nobody is told.
    """

    def __init__(self, partition: int, root_fingerprint: str, *, of_clients: bool = False) -> None:
        self._fold = Fold(PartitionState(partition=partition, root_fingerprint=root_fingerprint))
        self._of_clients = of_clients
        self.clients: dict[str, ClientConsents] = {}
        """Each client in doubt, with what counted of its consents on the log; of its grants the renewed alone."""
        self.in_error: set[str] = set()
        """The referrals that were entered in error, with `of_clients`."""

    @property
    def control(self) -> Control:
        """The partition's control state, `in_doubt` included."""
        return self._fold.state.control

    def read(self, timestamp: int, key: bytes | None, headers: Headers, value: bytes | None) -> bool:
        """Fold the next record as far as it matters here; say whether it was, or may have been, one of control."""
        names = keys_in_doubt((key or b"").decode(errors="replace"), value)
        of_control = KEY_PREFIX in names
        if of_control or (names and self._of_clients):
            self._fold.step(timestamp, key, headers, value)
        else:
            self._fold.state.next += 1
        for name in names if self._of_clients else ():
            self._note(name)
        if self._of_clients and value is not None and value.endswith(_SAYS_IN_ERROR):
            self._note_error((key or b"").decode(errors="replace"), value)
        return of_control

    def said_of_clients(self) -> Iterator[tuple[str, ClientConsents]]:
        """Each client of whom a signed record counted, with what was said; of the grants the renewed alone."""
        for name in list(self._fold.state.consents):
            if (held := self._fold.state.consents_of(name)).mark:
                yield name, held

    def said_of(self, client_id: str) -> ClientConsents:
        """What was said of a client, of the grants the renewed alone; NONE if nothing that counted was."""
        return self._fold.state.consents_of(client_id)

    def forget(self, client_id: str) -> None:
        """Let go of a client in doubt, and of what was said."""
        if self.clients.pop(client_id, None) is not None:
            self._fold.state.consents.pop(client_id)

    def _note(self, client_id: str) -> None:
        held = self._fold.state.consents_of(client_id)
        if held is NONE:
            return
        if held.grants:  # nearly always there is none that was kept
            held = replace(held, grants=tuple(one for one in held.grants if one.consent.version > 1))
        self._fold.state.keep_consents(client_id, held)
        if held.in_doubt:
            self.clients[client_id] = held
        else:
            self.clients.pop(client_id, None)

    def _note_error(self, key: str, value: bytes) -> None:
        try:
            event = parse(value)
            check_key(event, key)
        except Refused:
            return
        if isinstance(event, ReferralEnteredInError):
            self.in_error.add(event.data.referral.id)
