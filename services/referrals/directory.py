"""Holds what a referral names (recipient, projects, whom to call back) against the organizations as registered."""

import time
from typing import Final

from policy.regimes import RECEIVING_KINDS
from schemas.control import Organization
from schemas.events import Party
from services.kit.control import ControlView
from services.kit.problems import Problem, invalid_body
from services.kit.waiting import until

CATCHING_UP_SECONDS: Final = 2.0


async def check(view: ControlView, originator: Party, recipient: Party, call_back: str) -> None:
    """Problem 422 naming the field that names something unregistered.

    What was registered a moment ago may not have been read yet, so nothing is refused before the view has reached the
    log's end as of now.
    """
    asked_at = time.monotonic()
    try:
        _check(view, originator, recipient, call_back)
    except Problem:
        await until(lambda: _confirmed(view, asked_at), CATCHING_UP_SECONDS)
        _check(view, originator, recipient, call_back)


async def _confirmed(view: ControlView, since: float) -> bool | None:
    return view.confirmed_at >= since or None


def _check(view: ControlView, originator: Party, recipient: Party, call_back: str) -> None:
    own = view.organization(originator.organization)
    if own is None:
        raise Problem("unknown-organization", "The caller's organization is not registered.")
    _check_project(own, originator.project, "publisher_project")
    if all(contact.id != call_back for contact in own.contacts):
        raise Problem("unknown-contact", field="call_back")
    if recipient.organization == own.id:
        raise invalid_body("to.organization", "must be another organization than the caller's")
    other = view.organization(recipient.organization)
    if other is None:
        raise Problem("unknown-organization", field="to.organization")
    if other.kind not in RECEIVING_KINDS:
        raise invalid_body("to.organization", "must be a provider or a coordinator")
    _check_project(other, recipient.project, "to.project")


def _check_project(organization: Organization, project: str | None, field: str) -> None:
    if project is not None and all(one.id != project for one in organization.projects):
        raise Problem("unknown-project", field=field)
