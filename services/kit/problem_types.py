"""The table of problem types: every error an API can answer, its status and what it means. Names never change."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ProblemType:
    """A kind of error: HTTP status, a short title and what it means for the caller."""

    status: int
    title: str
    meaning: str


PROBLEM_TYPES: Final[dict[str, ProblemType]] = {
    # every service
    "malformed-request": ProblemType(400, "Malformed request", "The request could not be read."),
    "unauthenticated": ProblemType(401, "Not authenticated", "A valid access token is needed."),
    "insufficient-scope": ProblemType(403, "Insufficient scope", "The credential lacks the scope for this."),
    "organization-needed": ProblemType(
        403, "Organization needed", "Only the credential of an organization can do this."
    ),
    "not-found": ProblemType(404, "Not found", "There is no such thing, or not for this caller."),
    "method-not-allowed": ProblemType(405, "Method not allowed", "This address does not have this method."),
    "body-too-large": ProblemType(413, "Body too large", "A request body may have 64 KiB."),
    "unsupported-media-type": ProblemType(415, "Unsupported media type", "The body must be application/json."),
    "invalid-body": ProblemType(422, "Invalid body", "A field of the body is missing or not acceptable."),
    "invalid-parameter": ProblemType(422, "Invalid parameter", "A path, query or header parameter is not acceptable."),
    "idempotency-key-reused": ProblemType(
        422, "Idempotency key reused", "This Idempotency-Key was used for another request; use a new one."
    ),
    "internal-error": ProblemType(500, "Internal error", "The service failed; nothing was changed by this request."),
    "database-down": ProblemType(503, "Database not available", "Send the request again after Retry-After seconds."),
    "dependency-down": ProblemType(503, "Needed service down", "Send the request again after Retry-After seconds."),
    "not-ready": ProblemType(503, "Not ready", "The service cannot do its job now; `parts` says why."),
    # governance
    "invalid-client": ProblemType(401, "Invalid client", "Client id or secret is wrong."),
    "too-many-attempts": ProblemType(
        429,
        "Too many attempts",
        "Too many wrong secrets came from this address; nothing is looked at before Retry-After seconds have passed.",
    ),
    "unsupported-grant-type": ProblemType(400, "Unsupported grant type", "Only client_credentials is supported."),
    "already-exists": ProblemType(409, "Already exists", "Another object has this id."),
    "unknown-organization": ProblemType(422, "Unknown organization", "No organization has this id."),
    "victim-service-provider": ProblemType(
        422, "Victim service provider", "A victim service provider never takes part in a shared client index."
    ),
    "test-and-real": ProblemType(
        422,
        "Test and real organizations",
        "A test organization shares no agreement and no client index with real ones.",
    ),
    "not-a-party": ProblemType(403, "Not a party", "Only a party of the agreement may do this."),
    "wrong-status": ProblemType(409, "Wrong status", "The object's present status does not allow this."),
    "record-too-large": ProblemType(422, "Record too large", "The object would be too large for the log."),
    # referrals
    "unknown-project": ProblemType(422, "Unknown project", "The organization has no project with this id."),
    "unknown-contact": ProblemType(422, "Unknown contact", "The organization has no contact with this id."),
    "client-not-registered": ProblemType(
        404, "Client not registered", "The caller's organization has not registered a client with this id."
    ),
    "vsp-no-release": ProblemType(
        422,
        "No release",
        "A victim service provider's data needs the client's written, time-limited release that names recipient, "
        "purpose and category; a referral with the need alone needs none.",
    ),
    "client-already-used": ProblemType(
        409, "Client already used", "Each referral of a victim service provider takes a client id of its own."
    ),
    "invalid-transition": ProblemType(
        409, "Invalid transition", "The referral's lifecycle has no such transition for the caller now."
    ),
    "sealed-too-large": ProblemType(
        413, "Too much sealed", "At most 128 KiB may be sealed for one client of one referral."
    ),
    # shelter_beds
    "no-free-bed": ProblemType(409, "No free bed", "The unit has not so many free beds now."),
    "holds-not-taken": ProblemType(409, "No holds here", "The unit gives no beds on hold; call it."),
    "too-many-holds": ProblemType(
        409, "Too many holds", "The organization has as many open holds at this unit as one may have."
    ),
    "hold-ended": ProblemType(409, "Not possible now", "The hold's state does not allow this."),
    "already-referred": ProblemType(409, "Already referred", "The hold is for another referral."),
    "foreign-form": ProblemType(403, "Foreign form", "The form was not made for this session; load the page again."),
    "already-extended": ProblemType(409, "Already extended", "A hold can be extended once."),
    "wrong-door-code": ProblemType(422, "Wrong door code", "The hold has another door code."),
    "bed-held": ProblemType(409, "Bed on hold", "Let the hold go, or check it in, first."),
    "beds-in-use": ProblemType(409, "Beds in use", "Beds that are held or taken can't be removed."),
    "too-many-feeds": ProblemType(
        429,
        "Too many feeds",
        "This API client has as many connections to the feed, or different filters of it, as one may have at a time.",
    ),
    "too-many-filters": ProblemType(
        503,
        "Too many filters",
        "As many different filters of the feed are in use as can be served; ask for everything, or after Retry-After "
        "seconds.",
    ),
    "older-census": ProblemType(409, "Older census", "A later count of this unit is known."),
    # consent
    "not-a-grant": ProblemType(
        409, "Not a grant", "Only what was permitted can be revoked; a refusal or exclusion ends by a later permission."
    ),
    "not-renewable": ProblemType(
        409,
        "Not renewable",
        "Something of the consent was revoked, refused, excluded or entered in error since, or can't be said any more; "
        "record a new consent.",
    ),
    "no-client-code": ProblemType(
        409,
        "No code for this client",
        "A code is made where the person came in person, not where a referral brought them.",
    ),
    "unknown-code": ProblemType(404, "Unknown code", "No client has this code now."),
    "too-many-guesses": ProblemType(
        429,
        "Too many wrong codes",
        "The organization typed too many wrong codes; try again after Retry-After seconds.",
    ),
}
