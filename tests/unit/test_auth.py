"""Who may call: tokens and assertions prove exactly what they say, and nothing that was altered proves anything."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from policy import base64url
from services.kit import keys
from services.kit.auth import (
    ACCESS_TOKEN_SECONDS,
    ENDED,
    Principal,
    Public,
    Scope,
    Scoped,
    ServiceOnly,
    access_of,
    issue_access_token,
    public,
    requires,
    routes_of,
    service_only,
    verify_access_token,
)
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.service import create_service
from services.kit.tokens import RefusedTokenError, key_id, public_jwk
from tests.support.callers import NOW, Community, bearer, calling

# The forgeries here are made with joserfc's own registry, which warns of the name EdDSA.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")

COMMUNITY = Community()
KEY = COMMUNITY.private_keys["governance"]
PRINCIPAL = Principal("a-client", "harbor", frozenset({Scope.REFERRALS_READ, Scope.INBOX_READ}))
# --- access tokens


def test_a_token_gives_back_whom_it_was_issued_to() -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    assert verify_access_token(token, KEY.public_key(), NOW) == PRINCIPAL
    assert verify_access_token(token, KEY.public_key(), NOW + ACCESS_TOKEN_SECONDS - 1) == PRINCIPAL


def test_the_administrator_belongs_to_no_organization() -> None:
    admin = Principal("root-client", None, frozenset({Scope.ADMIN}))
    assert verify_access_token(issue_access_token(admin, KEY, NOW), KEY.public_key(), NOW) == admin


def test_a_token_that_counted_before_does_not_count_for_longer_nor_for_another_key() -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    assert verify_access_token(token, KEY.public_key(), NOW) == PRINCIPAL
    with pytest.raises(RefusedTokenError):
        verify_access_token(token, KEY.public_key(), NOW + ACCESS_TOKEN_SECONDS)
    with pytest.raises(RefusedTokenError):
        verify_access_token(token, keys.generate().public_key(), NOW)


@pytest.mark.parametrize("now", [NOW - 60, NOW + ACCESS_TOKEN_SECONDS, NOW + 10**9])
def test_a_token_counts_only_in_its_time(now: float) -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(issue_access_token(PRINCIPAL, KEY, NOW), KEY.public_key(), now)


@given(position=st.integers(0, 10_000), replacement=st.characters(min_codepoint=1, max_codepoint=0x2FF))
def test_a_token_altered_in_any_character_is_refused(position: int, replacement: str) -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    at = position % len(token)
    altered = token[:at] + replacement + token[at + 1 :]
    if altered != token:
        with pytest.raises(RefusedTokenError):
            verify_access_token(altered, KEY.public_key(), NOW)


@given(st.text(max_size=300) | st.from_regex(r"[\w-]{0,60}(\.[\w-]{0,60}){0,4}", fullmatch=True))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(text, KEY.public_key(), NOW)


def segment(content: object) -> str:
    return base64url.encode(json.dumps(content).encode())


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64url.decode(token.split(".")[1]))
    return found


def header(**changes: object) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": "at+jwt", "kid": key_id(KEY.public_key()), **changes}


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 0])
def test_no_algorithm_is_not_an_algorithm(name: object) -> None:
    payload = issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1]
    for signature in ("", base64url.encode(bytes(64))):
        with pytest.raises(RefusedTokenError):
            verify_access_token(f"{segment(header(alg=name))}.{payload}.{signature}", KEY.public_key(), NOW)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_cannot_be_used_as_a_shared_secret(algorithm: str) -> None:
    public_key = KEY.public_key()
    payload = base64url.decode(issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1])
    spellings = [
        public_key.public_bytes_raw(),
        keys.encode_public(public_key).encode(),
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk(public_key)).encode(),
    ]
    for secret in spellings:
        key = OctKey.import_key(base64.urlsafe_b64encode(secret).rstrip(b"="))
        forged = jws.serialize_compact(header(alg=algorithm), payload, key, algorithms=[algorithm])
        with pytest.raises(RefusedTokenError):
            verify_access_token(forged, public_key, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "Ed25519"},
        {"typ": "assertion+jwt"},
        {"typ": "JWT"},
        {"kid": "another"},
        {"jku": "https://keys.test"},
        {"jwk": public_jwk(keys.generate().public_key())},
    ],
)
def test_a_rightly_signed_token_with_another_header_is_refused(change: dict[str, Any]) -> None:
    payload = base64url.decode(issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1])
    signed = jws.serialize_compact(header(**change), payload, OKPKey.import_key(KEY), algorithms=["EdDSA", "Ed25519"])
    with pytest.raises(RefusedTokenError):
        verify_access_token(signed, KEY.public_key(), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "consent"},
        {"aud": "elsewhere"},
        {"exp": int(NOW) + ACCESS_TOKEN_SECONDS + 1},
        {"exp": str(int(NOW) + 60)},
        {"scope": "referrals:read everything"},
        {"sub": None},
        {"sub": 7},
        {"more": "claims"},
    ],
)
def test_a_rightly_signed_token_with_other_claims_is_refused(change: dict[str, Any]) -> None:
    claims = {**claims_of(issue_access_token(PRINCIPAL, KEY, NOW)), **change}
    signed = jws.serialize_compact(header(), json.dumps(claims), OKPKey.import_key(KEY), algorithms=["EdDSA"])
    with pytest.raises(RefusedTokenError):
        verify_access_token(signed, KEY.public_key(), NOW)


def test_another_key_proves_nothing() -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(issue_access_token(PRINCIPAL, Ed25519PrivateKey.generate(), NOW), KEY.public_key(), NOW)


# --- routes

router = APIRouter()


@router.get("/referrals/{referral_id}")
async def read_referral(
    referral_id: str, caller: Annotated[Principal, requires(Scope.REFERRALS_READ, Scope.ADMIN)]
) -> dict[str, str | None]:
    return {"id": referral_id, "organization": caller.organization}


@router.get("/anything")
async def read_anything(caller: Annotated[Principal, requires()]) -> str:
    return caller.client_id


@router.post("/releases")
async def release(caller: Annotated[str, service_only("webhooks")], body: dict[str, str]) -> dict[str, str]:
    return {"caller": caller, **body}


@router.get("/open", dependencies=[public()])
async def read_open() -> str:
    return "open"


@pytest.fixture
def app() -> FastAPI:
    return create_service(COMMUNITY.settings("consent"), routers=[router], clock=COMMUNITY.clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(app, "consent") as http:
        yield http


async def test_a_route_gets_its_caller(client: httpx.AsyncClient) -> None:
    token = COMMUNITY.token("harbor", [Scope.REFERRALS_READ])
    answer = await client.get("/referrals/r1", headers=bearer(token))
    assert answer.json() == {"id": "r1", "organization": "harbor"}


async def test_without_a_token_the_answer_is_a_challenge(client: httpx.AsyncClient) -> None:
    answer = await client.get("/referrals/r1")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="threshold"'
    assert answer.json()["type"] == "/problems/unauthenticated"


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer ", "Basic YTpi", "Bearer a b", "nonsense"])
async def test_what_is_no_token_is_refused(client: httpx.AsyncClient, authorization: str) -> None:
    answer = await client.get("/anything", headers={"Authorization": authorization})
    assert answer.status_code == 401


async def test_whose_token_has_ended_is_told_to_get_a_new_one(client: httpx.AsyncClient) -> None:
    ended = issue_access_token(PRINCIPAL, KEY, NOW - ACCESS_TOKEN_SECONDS)
    plain = "A valid access token is needed."
    for token, detail in ((ended, ENDED), (f"{ended[:-4]}AAAA", plain)):
        answer = await client.get("/anything", headers=bearer(token))
        assert (answer.status_code, answer.json()["detail"]) == (401, detail)
        assert answer.headers["www-authenticate"] == 'Bearer realm="threshold", error="invalid_token"'


async def test_a_token_without_the_scope_is_told_which(client: httpx.AsyncClient) -> None:
    answer = await client.get("/referrals/r1", headers=bearer(COMMUNITY.token("harbor", [Scope.INBOX_READ])))
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="admin referrals:read"' in answer.headers["www-authenticate"]
    assert answer.json()["type"] == "/problems/insufficient-scope"


async def test_any_token_will_do_where_no_scope_is_named(client: httpx.AsyncClient) -> None:
    assert (await client.get("/anything", headers=bearer(COMMUNITY.token("harbor", [])))).json() == "a-client"


async def service_client(app: FastAPI, service: str) -> ServiceClient:
    transport = httpx.ASGITransport(app=app)
    return ServiceClient(COMMUNITY.settings(service), "consent", clock=COMMUNITY.clock, transport=transport)


async def test_one_service_calls_another(app: FastAPI, client: httpx.AsyncClient) -> None:
    del client  # it keeps the application running
    webhooks = await service_client(app, "webhooks")
    answer = await webhooks.request("POST", "/releases", parameters={"a b": "é/?&"}, body={"decision": "1"})
    assert answer.json() == {"caller": "webhooks", "decision": "1"}


async def test_another_service_or_a_client_is_not_let_in(app: FastAPI, client: httpx.AsyncClient) -> None:
    audit = await service_client(app, "audit")
    with pytest.raises(DependencyDown):
        await audit.post("/releases", {})
    token = COMMUNITY.token(None, [Scope.ADMIN])
    assert (await client.post("/releases", json={}, headers=bearer(token))).status_code == 401


async def test_a_service_that_cannot_be_reached_is_told_so_the_caller_can_come_again() -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    client = ServiceClient(COMMUNITY.settings("webhooks"), "consent", transport=httpx.MockTransport(refuse))
    with pytest.raises(DependencyDown) as caught:
        await client.get("/anything")
    assert caught.value.response().status_code == 503
    assert caught.value.response().headers["retry-after"] == "2"
    assert "consent" in caught.value.detail


def test_the_table_of_access_can_be_read_from_the_routes(app: FastAPI) -> None:
    table = {route.path: access_of(route) for route in routes_of(app)}
    assert table == {
        "/referrals/{referral_id}": Scoped(frozenset({Scope.REFERRALS_READ, Scope.ADMIN})),
        "/anything": Scoped(frozenset()),
        "/releases": ServiceOnly(frozenset({"webhooks"})),
        **{path: Public() for path in ("/open", "/healthz", "/readyz", "/metrics", "/problems/{name}")},
    }


@pytest.mark.parametrize("declarations", [[], [public(), requires(Scope.ADMIN)]])
def test_a_route_that_declares_nothing_or_two_things_is_found(declarations: list[Any]) -> None:
    undeclared = APIRouter()
    undeclared.add_api_route("/forgotten", lambda: None, dependencies=declarations)
    app = create_service(COMMUNITY.settings("consent"), routers=[undeclared])
    with pytest.raises(LookupError, match="/forgotten"):
        [access_of(route) for route in routes_of(app)]
