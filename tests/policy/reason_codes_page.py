"""Makes docs/reason-codes.md from the policy's tables: `python -m tests.policy.reason_codes_page` writes it."""

from collections.abc import Mapping
from pathlib import Path

from policy import reasons

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reason-codes.md"
_HEAD = """# Reason codes

Every decision says why, in these codes. They are for the log, the audit and the publisher: "no consent" and "refused"
are different reasons inside, and the same silence outside. A code's meaning never changes; new ones may come.

This page is made from `policy/reasons.py` (`python -m tests.policy.reason_codes_page`).
"""
_TABLES = (
    ("What became of a record (`result`)", reasons.RESULTS),
    ("Why nothing crosses to a party (`reasons`)", reasons.DENIALS),
    ("Why a category stays behind (`withheld`; a denial can stand there too)", reasons.WITHHELD),
    ("What a recipient must do (`obligations`)", reasons.OBLIGATIONS),
)


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(title, codes) for title, codes in _TABLES)


def _section(title: str, codes: Mapping[str, str]) -> str:
    rows = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in codes.items())
    return f"\n## {title}\n\n| code | meaning |\n|---|---|\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
