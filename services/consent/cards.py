"""A client's card as a page to print: it names no person and no organization, and loads nothing."""

import base64
import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

Language = Literal["en", "es"]
_HERE: Final = Path(__file__).parent / "card"


def card(code: str, expires_at: datetime, language: Language, help_line: str | None) -> HTMLResponse:
    """Make the page; `help_line` is a phone number."""
    words, style = _words(language), (_HERE / "card.css").read_text(encoding="utf-8")
    day = words["day"].format(day=expires_at.day, month=words["months"][expires_at.month - 1], year=expires_at.year)
    content = _template().render(t=words, lang=language, code=code, day=day, help_line=help_line, style=style)
    return HTMLResponse(content, 201, _headers(style))


def _headers(style: str) -> dict[str, str]:
    """Let the one style in that the page brings along, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


@cache
def _words(language: Language) -> dict[str, Any]:
    words: dict[str, Any] = yaml.safe_load((_HERE / f"{language}.yaml").read_text(encoding="utf-8"))
    return words


@cache
def _template() -> Any:  # noqa: ANN401 - jinja2's template
    loader = FileSystemLoader(_HERE)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("card.html")
