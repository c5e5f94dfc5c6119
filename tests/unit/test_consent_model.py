"""What a consent or revocation becomes: its order, its record, what is refused and what it does now."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import consents
from policy.parse import parse
from schemas.events import ClientConsents, HeldConsent
from schemas.records import ConsentAttested, ConsentGranted, ConsentRevoked
from services.consent import bodies, model
from services.consent.model import Locked
from services.kit.problems import Problem

NOW = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
CLIENT = "client-0000000000000001"


def locked(last_order: int = 0, now: datetime = NOW) -> Locked:
    return Locked(CLIENT, last_order, consents.NONE, "registered", now)


def consent(**changes: Any) -> bodies.NewConsent:
    body: dict[str, Any] = {
        "client_id": CLIENT,
        "decision": "permit",
        "to": ["shelter"],
        "categories": ["identity"],
        "purposes": ["shelter-placement"],
        "form": {
            "method": "written",
            "notice_version": "1",
            "signers": [{"role": "client", "on": "2026-11-22"}],
        },
    }
    return bodies.NewConsent.model_validate(body | changes)


def granted(client: Locked, **changes: Any) -> model.Change:
    return model.consent_change(client, consent(**changes), consent_id="consent-1", recorder="outreach")


@given(st.integers(0, 2**52), st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_an_order_is_above_the_last_and_not_below_the_clock(last: int, moment: datetime) -> None:
    client = locked(last, moment.replace(tzinfo=UTC))
    assert client.next_order > last
    assert client.next_order >= model.microseconds(client.now)


def test_a_permission_counts_at_once_by_every_clock() -> None:
    event = granted(locked()).event
    assert isinstance(event, ConsentGranted)
    valid_from = event.data.consent.valid_from
    assert timedelta(seconds=10) <= NOW - valid_from < timedelta(seconds=11)
    later = NOW + timedelta(days=1)
    chosen = granted(locked(), valid_from=later.isoformat()).event
    assert isinstance(chosen, ConsentGranted)
    assert chosen.data.consent.valid_from == later


def test_what_is_written_reads_as_what_was_meant() -> None:
    change = granted(
        locked(),
        to=["shelter", "annex", "shelter"],
        expires_at="2026-12-24T12:00:00+05:00",
        actor={"id": "staff-7", "role": "navigator"},
    )
    event = parse(change.body)
    assert event == change.event
    assert isinstance(event, ConsentGranted)
    assert event.data.consent.to == ("annex", "shelter"), "named twice is named"
    assert event.data.consent.expires_at == datetime(2026, 12, 24, 7, tzinfo=UTC)
    assert event.data.consent.signers[0].on == date(2026, 11, 22)
    assert (change.consents.mark, len(change.consents.grants)) == (event.data.order, 1)


def test_what_is_attested_is_a_grant_of_its_own_type() -> None:
    change = granted(locked(), attested=True)
    assert isinstance(parse(change.body), ConsentAttested)
    assert [held.attested for held in change.consents.grants] == [True]
    assert [held.attested for held in granted(locked()).consents.grants] == [False]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decision": "refuse"}, "attested"),
        ({"decision": "exclude"}, "attested"),
        ({"form": {"method": "verbal", "notice_version": "1"}}, "form.method"),
    ],
)
def test_only_a_signed_permission_is_attested(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Problem) as refused:
        model.check_consent(consent(attested=True, **changes), "outreach")
    assert refused.value.faults[0].field == field
    model.check_consent(consent(attested=True), "outreach")
    model.check_consent(consent(**changes), "outreach")


@pytest.mark.parametrize("expires_at", [NOW, NOW - timedelta(seconds=1), NOW - timedelta(days=400)])
def test_an_expiry_is_later_than_the_databases_time(expires_at: datetime) -> None:
    with pytest.raises(Problem) as refused:
        granted(locked(), expires_at=expires_at.isoformat())
    assert refused.value.faults[0].field == "expires_at"
    accepted = granted(locked(), expires_at=(NOW + timedelta(seconds=1)).isoformat())
    assert len(accepted.consents.grants) == 1


def test_a_record_that_is_not_above_the_mark_is_never_written() -> None:
    client = Locked(CLIENT, 0, ClientConsents(mark=2**52), "registered", NOW)
    with pytest.raises(RuntimeError):
        granted(client)


REVOCATIONS: list[tuple[dict[str, Any], str | None, tuple[str, str | None] | str]] = [
    ({}, None, ("all", None)),
    ({}, "consent-1", ("consent", "consent-1")),
    ({"consent_id": "consent-1"}, "consent-1", ("consent", "consent-1")),
    ({"scope": "consent", "consent_id": "consent-2"}, None, ("consent", "consent-2")),
    ({"scope": "all"}, "consent-1", ("all", None)),
    ({"scope": "recipient", "recipient": "shelter"}, "consent-1", ("recipient", None)),
    ({"scope": "category", "category": "hiv"}, None, ("category", None)),
    ({"consent_id": "consent-2"}, "consent-1", "consent_id"),
    ({"scope": "all", "consent_id": "consent-1"}, "consent-1", "consent_id"),
    ({"consent_id": "consent-1"}, None, "consent_id"),
    ({"scope": "consent"}, None, "consent_id"),
    ({"scope": "recipient"}, None, "recipient"),
    ({"scope": "recipient", "category": "hiv"}, None, "recipient"),
    ({"recipient": "shelter"}, "consent-1", "recipient"),
    ({"scope": "category", "category": "hiv", "recipient": "shelter"}, None, "recipient"),
]


@pytest.mark.parametrize(("body", "address", "expected"), REVOCATIONS)
def test_a_revocation_says_of_what(
    body: dict[str, Any], address: str | None, expected: tuple[str, str | None] | str
) -> None:
    said = bodies.NewRevocation.model_validate({"requested_by": "client"} | body)
    if isinstance(expected, str):
        with pytest.raises(Problem) as refused:
            model.to_revocation(said, "revocation-1", address)
        assert refused.value.faults[0].field == expected
    else:
        revocation = model.to_revocation(said, "revocation-1", address)
        assert (revocation.scope, revocation.consent_id) == expected
        change = model.revocation_change(locked(), revocation, actor=None, desk="shelter")
        assert isinstance(parse(change.body), ConsentRevoked)


@pytest.mark.parametrize("decision", ["refuse", "exclude"])
def test_only_a_permission_can_be_revoked(decision: str) -> None:
    with pytest.raises(Problem) as refused:
        model.check_revocable(decision)
    assert refused.value.name == "not-a-grant"
    model.check_revocable("permit")


def test_a_consent_is_revoked_when_nothing_of_it_is_left() -> None:
    change = granted(locked(), to=["shelter", "annex"], categories=["identity", "health"])
    held, client = change.consents.grants[0], locked(change.consents.mark)
    client = Locked(CLIENT, change.consents.mark, change.consents, "registered", NOW)

    def after(client: Locked, **body: Any) -> Locked:
        said = bodies.NewRevocation.model_validate({"requested_by": "client"} | body)
        revocation = model.to_revocation(said, f"revocation-{client.last_order}", None)
        narrowed = model.revocation_change(client, revocation, actor=None, desk="shelter").consents
        return Locked(CLIENT, narrowed.mark, narrowed, "registered", NOW)

    def status(client: Locked) -> str:
        return model.status("permit", held, client.consents, NOW)

    assert status(client) == "active"
    one_category = after(client, scope="category", category="health")
    assert status(one_category) == "active"
    assert status(after(one_category, scope="recipient", recipient="shelter")) == "active"
    assert status(after(one_category, scope="category", category="identity")) == "revoked"
    assert status(after(client)) == "revoked"


@pytest.mark.parametrize(
    ("expires", "starts", "expected"),
    [(1, -1, "active"), (0, -1, "expired"), (-1, -2, "expired"), (2, 1, "not-yet-valid"), (None, 0, "active")],
)
def test_a_permission_has_its_time(expires: int | None, starts: int, expected: str) -> None:
    """Half-open: in force from its start to just before its end. Hours from now."""
    record = granted(locked()).consents.grants[0].consent
    timed = type(record)(
        id=record.id,
        version=1,
        to=record.to,
        categories=record.categories,
        purposes=record.purposes,
        method="written",
        notice_version="1",
        valid_from=NOW + timedelta(hours=starts),
        expires_at=None if expires is None else NOW + timedelta(hours=expires),
    )
    held = HeldConsent(order=1, recorder="outreach", consent=timed)
    assert model.status("permit", held, ClientConsents(grants=(held,)), NOW) == expected
    newer = HeldConsent(order=2, recorder="outreach", consent=timed)
    for other in ((), (newer,)):
        assert model.status("permit", held, ClientConsents(grants=other), NOW) == "lost"
