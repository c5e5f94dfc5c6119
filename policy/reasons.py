"""Every code that explains a result, a decision or a withheld category; docs/reason-codes.md is made from here."""

from typing import Final

# What became of a record as a whole (`Disclosure.result`).
RESULTS: Final = {
    "decided": "A referral event; each party told has its decision.",
    "applied": "A signed record changed what may cross.",
    "late": "A widening at or below the mark or of something ended for ever, or what counts already: ignored.",
    "duplicate": "The same referral event of this client was decided before.",
    "not-canonical": "The bytes are not the canonical form of their value.",
    "malformed": "The bytes are not an event of a known shape.",
    "unknown-type": "The policy version in force does not know this event type.",
    "wrong-key": "The record's key is not the one its data demands.",
    "misplaced": "The record is not in the partition that murmur2 of its key names.",
    "no-genesis": "The partition does not begin with a genesis signed by the pinned root key.",
    "second-genesis": "A genesis after offset 0.",
    "unknown-signing-key": "Signed with a key that was never added or is retired.",
    "key-not-for-type": "Signed with a key that may not sign this type.",
    "bad-signature": "The signature does not fit this log, type, key and data.",
    "not-the-originator": "Boxes and ends of consents are the originator's alone, as the very project that asked.",
    "not-a-party": "The publisher is neither the referral's originator nor one of its recipients.",
    "unknown-referral": "An event of a referral that was never requested here.",
    "referral-changed": "Originator, purpose or recipients differ from those of the request.",
}

# Why nothing crosses to a party (`Decision.reasons`).
DENIALS: Final = {
    "historical": "Backfill is recorded and never delivered, nor is any later event of that referral.",
    "client-in-doubt": "A record about this client's consents could not be read; nothing crosses until restated.",
    "control-in-doubt": "A control record could not be read; nothing crosses until restated.",
    "unknown-organization": "Publisher or recipient is not a registered organization.",
    "unknown-project": "The project named is not one of its organization.",
    "same-organization": "Publisher and recipient are one organization: this is no disclosure.",
    "never-a-recipient": "Funders, auditors and community organizations are never recipients.",
    "no-agreement": "No term of an agreement in force covers publisher, recipient and purpose.",
    "excluded": "The client excluded this recipient: nothing at all goes there.",
    "nothing-permitted": "No box of this event is permitted to this recipient.",
    "not-known-to-recipient": "The recipient was never told of this referral.",
}

# Why one category stays behind (`Decision.withheld`); any denial can stand here too.
WITHHELD: Final = {
    "no-term": "No single term of an agreement in force covers this category for this recipient and purpose.",
    "no-consent": "No consent of the client that the publisher may rely on names recipient, purpose and category.",
    "refused": "The client refused this to the consent's recorder, after it, or to a publisher without one of its own.",
    "revoked": "The consent was revoked.",
    "entered-in-error": "The consent, or the referral, was entered in error: it should never have been recorded.",
    "expired": "The consent has expired.",
    "not-yet-valid": "The consent is not valid yet.",
    "needs-written-release": "A victim service provider's data needs its own written release (34 U.S.C. 12291(b)(2)).",
    "needs-time-limit": "A victim service provider's release must be limited in time (34 U.S.C. 12291(b)(2)(D)).",
    "needs-written-consent": "A Part 2 program's data needs a written or electronic consent (42 CFR 2.31).",
    "only-with-the-request": "The need alone crosses only with the request, to a recipient that never had more.",
}

# What a recipient must do (`Decision.obligations`).
OBLIGATIONS: Final = {
    "do-not-enter-in-hmis": "Do not enter this in an HMIS (34 U.S.C. 12291(b)(2); HUD's HMIS standards exclude it).",
    "42-cfr-2.32": "42 CFR part 2 prohibits unauthorized use or disclosure of these records.",
    "withdraw-copy": "This was shared in error: withdraw the copy that you keep, and pass no more of it on.",
    "34-cfr-99.33": "Education records: no further disclosure without consent (34 CFR 99.33).",
}

ALL: Final = {**RESULTS, **DENIALS, **WITHHELD}
