"""Asks a running service what its OpenAPI document allows, and what it does not, and holds the answers against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.fuzzed_town import FuzzedTown

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Operation]
Authorize = Callable[[requests.PreparedRequest], requests.PreparedRequest]

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES: Final = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
ENDLESS: Final = {"/feed"}  # an answer that ends when its reader has enough: tests/integration/test_beds_feed.py
ANSWER_WITHIN: Final = 30  # seconds


@dataclass(frozen=True)
class Fuzzer:
    """A service, its document, and its callers, in a town of whose things half of the requests are."""

    url: str
    document: dict[str, Any]
    callers: Sequence[Authorize]
    town: FuzzedTown

    def faults(self, examples: int, start: int) -> list[str]:
        """Try each operation `examples` times, from a seed; list each kind of answer that is not as documented."""
        schema = schemathesis.openapi.from_dict(self.document)
        found: dict[str, None] = {}
        with requests.Session() as session:
            session.trust_env = False
            for each in schema.get_all_operations():
                operation = each.ok() if isinstance(each, Ok) else None
                if operation is None:
                    found["an operation that cannot be read"] = None
                elif operation.path not in ENDLESS:
                    found |= dict.fromkeys(self._faults(operation, session, examples, start))
        return list(found)

    def _faults(self, operation: Operation, session: requests.Session, examples: int, start: int) -> list[str]:
        found: list[str] = []

        @seed(start)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # what is found is reported as it is: to shrink it would ask again and again
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of([operation.as_strategy(mode) for mode in MODES]), data=st.data())
        def ask(case: Case, data: st.DataObject) -> None:
            self._use_known(case, data)
            self._use_right(case, data)
            answer = case.call(
                self.url, session=session, auth=data.draw(st.sampled_from(self.callers)), timeout=ANSWER_WITHIN
            )
            try:
                case.validate_response(answer, checks=CHECKS)
            except FailureGroup as group:
                found.extend(f"{operation.label}: {_told(each)}" for each in group.exceptions)

        ask()
        return found

    def _use_known(self, case: Case, data: st.DataObject) -> None:
        """Let half of the names be of things that exist: of others nearly all answers are 404."""
        body = case.body if isinstance(case.body, dict) else {}
        for place in (case.path_parameters, body):
            for name in sorted(place):
                if name in self.town.known and data.draw(st.booleans()):
                    place[name] = data.draw(st.sampled_from(self.town.known[name]))

    def _use_right(self, case: Case, data: st.DataObject) -> None:
        """Let half of the bodies be right, but for one field perhaps: by chance alone nearly none is."""
        right = self.town.right.get(case.operation.label)
        if right is None or data.draw(st.booleans()):
            return
        made = case.body if isinstance(case.body, dict) else {}
        changed = data.draw(st.sampled_from([None, *sorted({*right, *made}, key=str)]))
        kept = {name: value for name, value in right.items() if name != changed}
        case.body = kept | ({changed: made[changed]} if changed in made else {})


def _told(failure: Failure) -> str:
    if isinstance(failure, UndefinedStatusCode):
        return f"{failure.title} {failure.status_code}"
    return f"{failure.title}: {failure.message.partition(chr(10) * 2)[0]}"
