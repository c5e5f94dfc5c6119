"""Governance on a whole stack: who there is, what they may, and what the log says of it."""

import time
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from deploy.local.secrets import read_secrets, secrets_path
from services.kit import keys
from services.kit.assertions import sign_assertion
from services.kit.attempts import PER_ADDRESS, PER_CLIENT, WINDOW_SECONDS
from services.kit.auth import Scope, verify_access_token
from tests.support.governance import PARTITIONS, Caller, controls, grant, is_problem, member, on_the_log, organization
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def admin(running_stack: StackProcess) -> Caller:
    return Caller(running_stack, **running_stack.admin)


# --- tokens and credentials


def test_a_credential_gives_tokens_that_every_service_can_verify(running_stack: StackProcess, admin: Caller) -> None:
    made, caller = member(running_stack, admin, scopes=["referrals:read", "inbox:read"])
    (key,) = caller.get("/.well-known/jwks.json").json()["keys"]
    assert (caller.granted["token_type"], caller.granted["expires_in"]) == ("Bearer", 600)
    public_key = keys.decode_public(key["x"])
    principal = verify_access_token(caller.granted["access_token"], public_key, time.time())
    assert (principal.organization, principal.scopes) == (made, frozenset({Scope.REFERRALS_READ, Scope.INBOX_READ}))


def test_a_wrong_secret_an_unknown_client_and_another_grant_are_refused(
    running_stack: StackProcess, admin: Caller
) -> None:
    client_id, secret = running_stack.admin["client_id"], running_stack.admin["client_secret"]
    for wrong in (grant(client_id, "wrong"), grant("nobody", secret)):
        answer = admin.http.post("/oauth/token", data=wrong)
        is_problem(answer, 401, "invalid-client")
        assert answer.json()["error"] == "invalid_client"
    other = admin.http.post("/oauth/token", data=grant(client_id, secret) | {"grant_type": "password"})
    is_problem(other, 400, "unsupported-grant-type", "grant_type")
    assert other.json()["error"] == "unsupported_grant_type"


def test_secrets_can_not_be_tried_without_end_and_nobody_else_is_kept_out(
    running_stack: StackProcess, admin: Caller
) -> None:
    made = organization(admin)
    credential = admin.post(f"/organizations/{made}/credentials", {"name": "system", "scopes": ["inbox:read"]}).json()
    right = grant(credential["client_id"], credential["client_secret"])
    wrong = right | {"client_secret": "wrong"}

    def asked(form: dict[str, str], address: str, assertion: str = "") -> httpx.Response:
        headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {assertion}"} if assertion else {})
        return admin.http.post("/oauth/token", data=form, headers=headers)

    assert [asked(right, "198.51.100.1").status_code for _ in range(PER_CLIENT + 5)] == [200] * (PER_CLIENT + 5)
    tried = [asked(wrong, "198.51.100.1").status_code for _ in range(PER_CLIENT + 2)]
    assert tried == [401] * PER_CLIENT + [429] * 2
    refused = asked(right, "198.51.100.1")
    is_problem(refused, 429, "too-many-attempts")
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_SECONDS
    assert credential["client_id"] not in refused.text
    assert asked(right, "198.51.100.2").status_code == 200, "its owner, who is elsewhere"
    assert asked(grant(**running_stack.admin), "198.51.100.1").status_code == 200, "another client there"
    guessed = [asked(grant(f"guess-{number}", "x"), "198.51.100.3").status_code for number in range(PER_ADDRESS + 1)]
    assert guessed == [401] * PER_ADDRESS + [429]
    assert asked(grant(**running_stack.admin), "198.51.100.4").status_code == 200
    signed = [asked(wrong, "198.51.100.1", _of_the_board(running_stack, wrong)).status_code for _ in range(2)]
    assert signed == [401, 401], "the board counts its own visitors"
    assert asked(wrong, "198.51.100.1", _of_the_board(running_stack, right)).status_code == 429, "another's form"


def _of_the_board(stack: StackProcess, form: dict[str, str]) -> str:
    """What shelter_beds sends with a form of its own."""
    key = keys.decode_private(read_secrets(secrets_path(stack.home))["THRESHOLD_SHELTER_BEDS_ASSERTION_KEY"])
    request: dict[str, Any] = {
        "method": "POST",
        "target": "/oauth/token",
        "body": urlencode(form).encode(),
        "now": time.time(),
    }
    return sign_assertion(key, issuer="shelter_beds", audience="governance", **request)


def test_a_secret_is_shown_once_even_to_a_repetition(admin: Caller) -> None:
    made = organization(admin)
    path, body = f"/organizations/{made}/credentials", {"name": "system", "scopes": ["inbox:read"]}
    first = admin.post(path, body, Idempotency_Key=made).json()
    second = admin.post(path, body, Idempotency_Key=made).json()
    assert first.pop("client_secret")
    assert second == first | {"client_secret": None}


def test_a_revoked_credential_gets_no_token(admin: Caller) -> None:
    made, other = organization(admin), organization(admin)
    credential = admin.post(f"/organizations/{made}/credentials", {"name": "system", "scopes": ["inbox:read"]}).json()
    path = f"/credentials/{credential['client_id']}"
    is_problem(admin.http.delete(f"/organizations/{other}{path}"), 404, "not-found")
    assert admin.http.delete(f"/organizations/{made}{path}").status_code == 204
    is_problem(admin.http.delete(f"/organizations/{made}{path}"), 404, "not-found")
    granted = admin.http.post("/oauth/token", data=grant(credential["client_id"], credential["client_secret"]))
    is_problem(granted, 401, "invalid-client")


def test_an_organization_never_gets_the_administrators_scope(admin: Caller) -> None:
    path = f"/organizations/{organization(admin)}/credentials"
    answer = admin.post(path, {"name": "system", "scopes": ["admin"]})
    assert "must not give an organization the scope admin" in answer.text
    is_problem(admin.post(path, {"name": "system", "scopes": ["everything"]}), 422, "invalid-body", "scopes.0")
    is_problem(
        admin.post("/organizations/nobody/credentials", {"name": "x", "scopes": ["inbox:read"]}), 404, "not-found"
    )


def test_only_the_administrator_administers(running_stack: StackProcess, admin: Caller) -> None:
    made, caller = member(running_stack, admin)
    body = {"id": "x", "name": "x", "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}
    for answer in (
        caller.post("/organizations", body),
        caller.http.patch(f"/organizations/{made}", json={"victim_service_provider": False}),
        caller.post(f"/organizations/{made}/credentials", {"name": "x", "scopes": ["inbox:read"]}),
        caller.post("/identifier-systems", {"id": "x", "organizations": [made]}),
    ):
        is_problem(answer, 403, "insufficient-scope")


# --- organizations


def test_an_organization_with_its_projects_and_contacts_comes_to_every_partition(
    running_stack: StackProcess, admin: Caller
) -> None:
    made, caller = member(running_stack, admin, name="Harbor  ", victim_service_provider=True)
    project = {"id": "p1", "name": "Shelter", "project_type": 1, "part2_program": True, "hmis_participation": "none"}
    contact = {"id": "c1", "name": "Front desk", "phone": "555-0100", "languages": ["en", "es"]}
    assert caller.post(f"/organizations/{made}/projects", project).json() == project | {"confidential": False}
    assert caller.post(f"/organizations/{made}/contacts", contact).status_code == 201
    changed = admin.http.patch(f"/organizations/{made}", json={"name": "Harbor House", "hipaa_covered": True})
    assert (changed.json()["name"], changed.json()["victim_service_provider"]) == ("Harbor House", True)

    def is_everywhere() -> bool:
        said = [control.organizations.get(made) for control in controls(running_stack)]
        return all(each is not None and each.name == "Harbor House" for each in said)

    wait_until(is_everywhere, what="the organization on every partition")
    (said, *others) = [control.organizations[made] for control in controls(running_stack)]
    assert all(other == said for other in others)
    assert (said.hipaa_covered, said.projects[0].part2_program, said.contacts[0].languages) == (
        True,
        True,
        ("en", "es"),
    )


def test_contacts_are_for_the_organization_itself(running_stack: StackProcess, admin: Caller) -> None:
    made, caller = member(running_stack, admin)
    other, stranger = member(running_stack, admin)
    caller.post(f"/organizations/{made}/contacts", {"id": "c1", "name": "Front desk"})
    assert [contact["id"] for contact in caller.get(f"/organizations/{made}").json()["contacts"]] == ["c1"]
    assert stranger.get(f"/organizations/{made}").json()["contacts"] is None
    assert admin.get(f"/organizations/{made}").json()["contacts"] is not None
    is_problem(stranger.post(f"/organizations/{made}/contacts", {"id": "c2", "name": "x"}), 404, "not-found")
    is_problem(stranger.get("/organizations/nobody"), 404, "not-found")
    assert other != made


def test_an_id_is_taken_once(admin: Caller) -> None:
    made = organization(admin)
    body = {"id": made, "name": "x", "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}
    is_problem(admin.post("/organizations", body), 409, "already-exists", "id")
    contact = {"id": "c1", "name": "x"}
    assert admin.post(f"/organizations/{made}/contacts", contact).status_code == 201
    is_problem(admin.post(f"/organizations/{made}/contacts", contact), 409, "already-exists", "id")


def test_organizations_are_listed_in_pages(admin: Caller) -> None:
    made = {organization(admin) for _ in range(3)}
    listed, after = [], None
    while True:
        page = admin.get("/organizations", limit="2", **({"after": after} if after else {})).json()
        assert len(page["items"]) <= 2
        listed += [item["id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert made <= set(listed)
    assert listed == sorted(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "-dash"}, "id"),
        ({"id": "a" * 65}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"name": "   "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"kind": "police"}, "kind"),
        ({"victim_service_provider": None}, "victim_service_provider"),
        ({"password": "x"}, "password"),
        ({"actor": {"id": "Jane Doe", "role": "worker"}}, "actor.id"),
    ],
)
def test_a_wrong_field_of_an_organization_is_named(admin: Caller, change: dict[str, Any], field: str) -> None:
    body = {"id": "x", "name": "x", "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}
    is_problem(admin.post("/organizations", body | change), 422, "invalid-body", field)


def test_a_victim_service_provider_is_in_no_client_index(admin: Caller) -> None:
    provider, sheltering = organization(admin), organization(admin, victim_service_provider=True)
    system = f"hmis-{provider}"
    is_problem(
        admin.post("/identifier-systems", {"id": system, "organizations": [provider, sheltering]}),
        *(422, "victim-service-provider", "organizations.1"),
    )
    is_problem(
        admin.post("/identifier-systems", {"id": system, "organizations": ["nobody"]}),
        *(422, "unknown-organization", "organizations.0"),
    )
    assert admin.post("/identifier-systems", {"id": system, "organizations": [provider]}).status_code == 201
    is_problem(admin.post("/identifier-systems", {"id": system, "organizations": [provider]}), 409, "already-exists")
    is_problem(admin.post("/identifier-systems", {"id": "local", "organizations": [provider]}), 422, "invalid-body")
    change = admin.http.patch(f"/organizations/{provider}", json={"victim_service_provider": True})
    is_problem(change, 422, "victim-service-provider", "victim_service_provider")
    assert admin.get(f"/identifier-systems/{system}").status_code == 401  # for the consent service only


# --- the process


def test_everything_outlives_a_restart_and_the_log_begins_once(running_stack: StackProcess, admin: Caller) -> None:
    made = organization(admin)
    wait_until(lambda: on_the_log(running_stack, made), what="the organization on the log")
    killed = running_stack.kill("governance")
    running_stack.wait_restarted("governance", killed)
    running_stack.wait_ready("governance")
    assert admin.get(f"/organizations/{made}").status_code == 200
    genesis = [control.genesis for control in controls(running_stack)]
    assert len({each.log_id for each in genesis if each is not None}) == 1
    assert [each.partition for each in genesis if each is not None] == list(range(PARTITIONS))


def test_the_log_file_names_nobody(running_stack: StackProcess, admin: Caller) -> None:
    organization(admin, name="Canary House")
    admin.post("/organizations", {"id": "Canary House"})
    assert "Canary" not in running_stack.log("governance")
