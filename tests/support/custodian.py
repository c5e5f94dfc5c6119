"""A custodian for tests of webhooks: at consent's two addresses, with the clients' real keys behind them.

It permits what was decided unless a test tells it otherwise, and keeps what it was asked and told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Response

from policy.base64url import encode
from schemas.events import DataCategory, Envelope, Party, PurposeOfUse
from services.kit.auth import service_only
from services.kit.keys import random_id
from services.kit.problems import Problem
from services.kit.sealing import SealContext, box_key, unwrap
from tests.support.disclosing import Sealing
from tests.support.log import LOG_ID

LEASE_SECONDS: Final = 3


class AskedEnvelope(msgspec.Struct, forbid_unknown_fields=True):
    seq: int
    suite: str
    key_id: str
    wrapped: str
    categories: list[DataCategory]


class Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /releases, and nothing else."""

    decision_id: str
    attempt: int
    channel: str
    event_type: str
    client_id: str
    referral_id: str
    originator: Party
    publisher: Party
    purpose: PurposeOfUse
    recipients: list[dict[str, str]]
    recipient: Party
    told: Party
    verdict: str
    known_as: str | None
    status: str | None
    categories: list[DataCategory]
    ends: dict[DataCategory, int]
    envelopes: list[AskedEnvelope]


Answer = dict[str, Any]
Rule = Callable[[Asked], Answer]


def as_decided(asked: Asked) -> Answer:
    """Permit what was decided."""
    verdict = "closed" if asked.verdict == "status" and asked.status == "closed" else asked.verdict
    return {"verdict": verdict, "categories": asked.categories, "known_as": asked.known_as}


def only_the_need(_: Asked) -> Answer:
    """Permit the need alone."""
    return {"verdict": "deidentified", "categories": ["need"], "known_as": "reference"}


def closed(asked: Asked) -> Answer:
    """Let hear no more than `closed`."""
    return {"verdict": "closed", "categories": [], "known_as": asked.known_as}


def nothing(_: Asked) -> Answer:
    """Withhold everything."""
    return {"verdict": "withheld", "categories": [], "known_as": None, "reason": "revoked"}


def refused(_: Asked) -> Answer:
    """Not understand the question."""
    raise Problem("invalid-parameter", field="decision_id")


def on_no_consent(asked: Asked) -> Answer:
    """Permit what was decided, on no consent at all: that can't be rendered."""
    return as_decided(asked) | {"consents": []}


def on_a_later_consent(asked: Asked) -> Answer:
    """Permit what was decided, on a consent that the boundary had not seen, which obliges to more."""
    answer = as_decided(asked)
    later = _consent(asked, answer) | {"id": f"later consent of {asked.client_id}"}
    return answer | {"consents": [later], "obligations": ["do-not-enter-in-hmis"]}


UNMADE: Final[dict[str, Rule]] = {"not-released": refused, "unrenderable": on_no_consent}
"""Why no message can be made, and what the custodian answers then."""


@dataclass
class FakeCustodian:
    """`rules` by client id, or by decision id; `down` answers 503. `before_answering` runs after keys were made."""

    clients: dict[str, Sealing]
    rules: dict[str, Rule] = field(default_factory=dict)
    down: bool = False
    before_answering: Callable[[Asked], None] = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    settled: dict[str, list[str]] = field(default_factory=dict)
    released: dict[str, Asked] = field(default_factory=dict)

    def router(self) -> APIRouter:
        """The two addresses."""
        router = APIRouter(dependencies=[service_only("webhooks")])

        @router.post("/releases")
        async def release(body: dict[str, Any]) -> Answer:
            if self.down:
                raise Problem("dependency-down")
            asked = msgspec.convert(body, Asked)
            self.asked.append(asked)
            answer = self._answer(asked)
            self.before_answering(asked)
            return answer

        @router.post("/releases/settlements", status_code=204)
        async def settle(body: dict[str, list[dict[str, str]]]) -> Response:
            if self.down:
                raise Problem("dependency-down")
            for each in body["settlements"]:
                self.settled.setdefault(each["release_id"], []).append(each["state"])
            return Response(status_code=204)

        return router

    def of(self, client_id: str) -> list[Asked]:
        """What was asked about a client."""
        return [each for each in self.asked if each.client_id == client_id]

    def settlements(self, client_id: str) -> list[list[str]]:
        """What was told of each release about a client, in the order of their release."""
        ids = [id_ for id_, asked in self.released.items() if asked.client_id == client_id]
        return [self.settled.get(id_, []) for id_ in ids]

    def _answer(self, asked: Asked) -> Answer:
        rule = self.rules.get(asked.decision_id) or self.rules.get(asked.client_id) or as_decided
        given = {"release_id": None, "keys": [], "lease_seconds": LEASE_SECONDS, "reason": None, **rule(asked)}
        if given["verdict"] == "permit":
            given = {"obligations": [], "consents": [_consent(asked, given)], **given}
        if given["verdict"] != "withheld":
            given["release_id"] = random_id()
            self.released[given["release_id"]] = asked
        for category in given["categories"]:
            given["keys"].append(self._key(asked, category))
        return given

    def _key(self, asked: Asked, category: DataCategory) -> Answer:
        found = max((each for each in asked.envelopes if category in each.categories), key=lambda each: each.seq)
        circumstances = SealContext(
            log_id=LOG_ID,
            client_id=asked.client_id,
            originator=asked.originator,
            referral_id=asked.referral_id,
            purpose=asked.purpose,
            recipients=tuple(Party(one["organization"], one.get("project")) for one in asked.recipients),
        )
        envelope = Envelope(seq=found.seq, suite=found.suite, key_id=found.key_id, wrapped=found.wrapped, boxes={})
        seal_key = unwrap(envelope, circumstances, self.clients[asked.client_id].pair.private_key)
        return {"seq": found.seq, "category": category, "key": encode(box_key(seal_key, category))}


def _consent(asked: Asked, given: Answer) -> Answer:
    return {
        "id": f"consent of {asked.client_id}",
        "version": 1,
        "discloser": asked.originator.organization,
        "to": [asked.recipient.organization],
        "categories": [category for category in given["categories"] if category != "need"],
        "purposes": [asked.purpose],
        "valid_from": "2026-11-01T00:00:00Z",
        "method": "written",
        "signed_on": "2026-11-01",
        "expires_at": None,
    }
