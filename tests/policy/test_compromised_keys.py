"""What whoever holds a service's signing key can make the log say, and what no other key can: tried on the fold."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.disclosures import Decision
from services.kit.signing import Signer
from tests.policy.events import MAKERS, Place
from tests.support.log import CONSENT, GOVERNANCE, LOG_ID, PARTITIONS, ROOT, Log, clients_in, fold, key_from

CLIENT, OTHER = clients_in(0, 2)
[ELSEWHERE] = clients_in(1, 1)
NEVER_SAID: dict[str, Any] = {"categories": ["identity"]}


class Community(Log):
    """A partition with outreach, a shelter and an agreement."""

    @classmethod
    def founded(cls) -> "Community":
        made = cls()
        made.begin()
        for name in ("outreach", "shelter"):
            made.say("organization", {"id": name})
        made.say("agreement", {"id": "sharing"})
        return made

    def event(self, kind: str, says: Any, client: str = CLIENT) -> Any:
        order = self.next_order()
        return MAKERS[kind](Place(client, order, f"{kind}-{order}"), says)

    def say(self, kind: str, says: Any, client: str = CLIENT, **signed: Any) -> None:
        self.sign(self.event(kind, says, client), **signed)

    def results(self) -> list[str]:
        return [each.result for each in fold(self.records)[1]]

    def asked(self, to: str = "shelter") -> Decision:
        """What becomes of a new request with a name in it."""
        says = {"boxes": ["need", "identity"], "to": to, "referral": f"referral-{self.order}"}
        self.publish(self.event("request", says))
        [decision] = fold(self.records)[1][-1].decisions
        return decision


def forged(as_key: str, by: Signer) -> Callable[[Community], None]:
    return lambda log: log.say("grant", NEVER_SAID, signer=Signer(as_key, by.private_key))


def of_another_log(log: Community) -> None:
    log.say("grant", NEVER_SAID, log_id=f"not-{LOG_ID}")


def unsigned(log: Community) -> None:
    said = log.event("grant", NEVER_SAID)
    log.publish(replace(said, data=replace(said.data, key_id="consent")))


def re_keyed(log: Community) -> None:
    """A true grant of another client, under this client's key."""
    log.say("grant", NEVER_SAID, OTHER)
    log.append(CLIENT, log.records[-1].value)


def of_a_retired_key(log: Community) -> None:
    log.say("retire_key", "consent")
    log.say("grant", NEVER_SAID)


FORGERIES = [
    (forged("consent", GOVERNANCE), "bad-signature"),
    (forged("governance", GOVERNANCE), "key-not-for-type"),
    (forged("root", ROOT), "unknown-signing-key"),
    (forged("consent", Signer("", key_from("referrals"))), "bad-signature"),
    (forged("referrals", Signer("", key_from("referrals"))), "unknown-signing-key"),
    (forged("consent", Signer("", key_from("consent of another root"))), "bad-signature"),
    (of_another_log, "bad-signature"),
    (unsigned, "bad-signature"),
    (re_keyed, "wrong-key"),
    (of_a_retired_key, "unknown-signing-key"),
]


@pytest.mark.parametrize(("forge", "result"), FORGERIES)
def test_a_consent_that_consent_did_not_sign_for_this_client_and_log_widens_nothing(
    forge: Callable[[Community], None], result: str
) -> None:
    log = Community.founded()
    forge(log)
    decision = log.asked()
    assert log.results()[-2] == result
    assert (decision.verdict, decision.reasons) == ("deny", ("client-in-doubt",))


def test_a_copy_of_a_grant_brings_nothing_back_that_was_revoked() -> None:
    log = Community.founded()
    log.say("grant", NEVER_SAID)
    granted = log.records[-1]
    assert log.asked().verdict == "permit"
    log.say("revoke", {})
    log.again(granted)
    assert log.results()[-1] == "late"
    decision = log.asked()
    assert (decision.verdict, decision.withheld) == ("deidentified", {"identity": "revoked"})


def test_a_true_grant_in_another_partition_is_none() -> None:
    assert PARTITIONS > 1
    log = Community.founded()
    log.say("grant", NEVER_SAID, ELSEWHERE)
    assert log.results()[-1] == "misplaced"
    log.publish(log.event("request", {"boxes": ["need", "identity"]}, ELSEWHERE))
    assert log.results()[-1] == "misplaced"


def test_the_records_of_another_root_begin_nothing() -> None:
    log, other = Community(), Signer("root", key_from("another-root"))
    log.say("genesis", {"root": "another-root"}, signer=other)
    for name in ("outreach", "shelter"):
        log.say("organization", {"id": name})
    assert set(log.results()) == {"no-genesis"}


@pytest.mark.parametrize("kind", ["organization", "agreement", "suspend", "leave", "add_key", "retire_key"])
def test_consents_key_says_nothing_of_organizations_agreements_or_keys(kind: str) -> None:
    log = Community.founded()
    says = {"suspend": "sharing", "retire_key": "governance", "leave": {"organization": "shelter"}}
    log.say(kind, says.get(kind, {"id": "sharing" if kind == "agreement" else "newcomer"}), signer=CONSENT)
    assert log.results()[-1] == "key-not-for-type"
    assert log.asked().reasons == ("control-in-doubt",), "and whatever it was meant to be, it closes"


# --- what it could do: the other side of the same table


def test_consents_key_can_forge_any_consent() -> None:
    """The crown jewel: whoever has it opens, on the log, what the agreement lets cross."""
    log = Community.founded()
    log.say("grant", NEVER_SAID)
    decision = log.asked()
    assert (decision.verdict, decision.categories) == ("permit", ("identity", "need"))
    assert log.asked("newcomer").verdict == "deny", "but for no party and purpose that no agreement names"


def test_governances_key_can_put_an_agreement_in_force_that_nobody_voted_for_and_no_consent() -> None:
    log = Community.founded()
    log.say("organization", {"id": "newcomer"})
    term = {"from": ["outreach"], "to": ["newcomer"], "purposes": ["shelter-placement"], "categories": ["identity"]}
    log.say("agreement", {"id": "nobodys", "parties": ["outreach", "newcomer"], "terms": [term]})
    decision = log.asked("newcomer")
    assert (decision.verdict, decision.withheld["identity"]) == ("deny", "no-consent")
    log.say("grant", NEVER_SAID | {"to": "newcomer"})
    assert log.asked("newcomer").verdict == "permit", "no agreement bounds then what a client permits"


def test_the_root_key_can_make_itself_a_key_for_consents() -> None:
    log = Community.founded()
    log.say("add_key", {"id": "thief", "types": ["consent."]}, signer=ROOT)
    log.say("grant", NEVER_SAID, signer=Signer("thief", key_from("thief")))
    assert log.asked().verdict == "permit"
