"""Nobody can be looked for by name: no address of any service takes what tells who a person is to find the person."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from schemas.categories import CATEGORY_MODELS
from services.kit.auth import routes_of
from tests.support.apps import composed
from tests.support.tree import files

TELLING = frozenset(CATEGORY_MODELS["identity"].model_fields) | {
    "birth_date", "birthdate", "birthday", "client_name", "date_of_birth", "family_name", "full_name", "given_name",
    "household_name", "member_name", "person_name", "social_security_number", "surname",
}  # fmt: skip
"""HUD's names of what tells who somebody is, and what else they are called."""
LOOKING = TELLING | {"email", "filter", "name", "phone", "q", "query", "search", "text"}
"""What an address must not be asked by, besides: staff and organizations have names, and are not looked for either."""

# Their path's `name` is an id, a reference, the name of a file or of a problem.
NAMED_OTHERWISE = frozenset(
    {"/referrals/{name}", "/referrals/{name}/transitions", "/problems/{name}", "/static/{name}"}
)
# They seal it for one recipient; their answer has nothing but the referral's id and status.
SEALING = frozenset({("referrals", "post", "/referrals"), ("referrals", "post", "/referrals/{referral_id}/segments")})
# The page whose form becomes such a referral.
SEALING_PAGES = frozenset({"refer_form.html", "refer_again.html"})


@pytest.fixture(scope="module")
def apps() -> Iterator[dict[str, FastAPI]]:
    with composed() as made:
        yield made


def test_no_address_is_asked_by_what_tells_who_a_person_is(apps: dict[str, FastAPI]) -> None:
    assert [(service, *found) for service, app in apps.items() for found in asked_by_name(app)] == []


def test_what_tells_who_a_person_is_goes_into_boxes_only(apps: dict[str, FastAPI]) -> None:
    taking = {
        (service, method, path)
        for service, app in apps.items()
        for method, path, fields in bodies(app)
        if fields & TELLING
    }
    assert taking == SEALING, "and the two that seal it are found, or nothing would be"


def test_no_address_that_reads_has_a_body(apps: dict[str, FastAPI]) -> None:
    reading = [(path, method) for app in apps.values() for method, path, _ in bodies(app) if method in {"get", "head"}]
    assert reading == []


def test_no_page_has_a_field_for_it_but_the_form_of_a_referral() -> None:
    asking = {path.name for path in files(".html") if fields_of(path) & TELLING}
    assert asking <= SEALING_PAGES
    assert "refer_form.html" in asking, "or nothing would be found"
    for page in sorted(SEALING_PAGES):
        (path,) = [each for each in files(".html") if each.name == page]
        assert re.findall(r'<form[^>]*method="(\w+)"', path.read_text()) == ["post"]


def test_a_search_by_name_that_somebody_adds_is_found() -> None:
    planted = FastAPI()

    @planted.get("/clients")
    async def search(last_name: str = "") -> None: ...

    @planted.get("/hidden", include_in_schema=False)
    async def hidden(q: str = "") -> None: ...

    @planted.post("/clients/search")
    async def find(wanted: dict[str, str], dob: str = "") -> None: ...

    assert [path for path, _ in asked_by_name(planted)] == ["/clients", "/hidden", "/clients/search"]


def asked_by_name(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Give each parameter by which a person could be looked for, with its route; hidden routes count too."""
    for route in routes_of(app):
        for parameter in parameters(route.dependant):
            if parameter in LOOKING and route.path not in NAMED_OTHERWISE:
                yield str(route.path), parameter


def parameters(dependant: Dependant) -> Iterator[str]:
    """The names of all that is read of an address and its headers, by what the route depends on too."""
    for group in (dependant.query_params, dependant.path_params, dependant.header_params, dependant.cookie_params):
        for each in group:
            yield _word(each.alias)
    for inner in dependant.dependencies:
        yield from parameters(inner)


def bodies(app: FastAPI) -> Iterator[tuple[str, str, set[str]]]:
    """Give method, path and all names of fields, at any depth, of each documented body."""
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield method, path, set(_fields(content["schema"], document, set()))


def _fields(schema: Any, document: dict[str, Any], seen: set[str]) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _fields(each, document, seen)
    elif isinstance(schema, dict):
        reference = schema.get("$ref")
        if reference is not None and reference not in seen:
            seen.add(reference)
            yield from _fields(document["components"]["schemas"][reference.rsplit("/", 1)[1]], document, seen)
        yield from map(_word, schema.get("properties", {}))
        for each in schema.values():
            yield from _fields(each, document, seen)


def fields_of(page: Path) -> set[str]:
    """The names of a template's fields, those that a macro is called with included."""
    return set(re.findall(r"""["'](\w+)["']""", page.read_text()))


def _word(spelled: str) -> str:
    """One spelling for lastName, last-name and last_name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", spelled).replace("-", "_").lower()
