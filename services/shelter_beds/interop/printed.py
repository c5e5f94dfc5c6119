"""A list of the units for a wall or a clipboard, without a script: one page of paper holds some 25 of them."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

import yaml

from schemas.beds import Unit
from services.shelter_beds.interop.units import is_in_season

Language = Literal["en", "es"]
Words = Mapping[str, str]

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_COLUMNS: Final = ("free", "unit", "who", "intake", "phone", "reported")
_FIRST: Final = (True, None, False)
_FLAGS: Final = ("veterans_only", "couples", "accessible", "pets", "low_barrier")
OLDEST: Final = 120
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STYLE: Final = """
@page { margin: 9mm }
* { box-sizing: border-box }
body { font: 8pt/1.15 system-ui, sans-serif; color: #000; background: #fff; margin: 0 auto; max-width: 200mm }
header { display: flex; justify-content: space-between; align-items: baseline; margin-bottom: 1mm }
h1 { font-size: 14pt; margin: 0 }
p { margin: 0 }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
th, td { text-align: left; vertical-align: top; padding: .4mm 1mm; border-bottom: .2mm solid #555 }
td { overflow-wrap: anywhere }
thead { display: table-header-group }
tr { break-inside: avoid }
.free { width: 11% } .unit { width: 25% } .who { width: 27% }
.intake { width: 13% } .phone { width: 12% } .reported { width: 12% }
td.free b { font-size: 11pt }
small { display: block; font-size: 7pt }
.overdue { font-weight: bold }
@media screen { body { padding: 4mm } }
"""
POLICY: Final = f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
"""The page's Content-Security-Policy: its own style, and nothing else."""


@cache
def words(language: Language) -> Words:
    """Return what the page says in a language."""
    text = (files(__package__) / "words" / f"{language}.yaml").read_text(encoding="utf-8")
    found: dict[str, str] = yaml.safe_load(text)
    return found


def preferred(asked: str | None, header: str) -> Language:
    """Return the language asked for, else the first of an Accept-Language header that there is, else English."""
    wanted = [asked or "", *(part.split(";")[0].strip()[:2].lower() for part in header.split(","))]
    return next((language for each in wanted for language in LANGUAGES if language == each), "en")


def sheet(units: Sequence[Unit], now: datetime, language: Language) -> str:
    """Write the page: those with room first, then those to be called. Its time is that of most units' place."""
    say = words(language)
    zones = Counter(unit.time_zone for unit in units).most_common(1)
    printed = now.astimezone(ZoneInfo(zones[0][0] if zones else "UTC")).strftime("%Y-%m-%d %H:%M %Z")
    rows = "".join(_row(unit, now, say) for unit in sorted(units, key=lambda unit: _FIRST.index(unit.open)))
    head = "".join(f'<th scope="col" class="{name}">{escape(say[name])}</th>' for name in _COLUMNS)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else f"<p>{say['nothing']}</p>"
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f"<title>{escape(say['title'])} {printed}</title><style>{STYLE}</style></head><body><header>"
        f"<h1>{escape(say['title'])}</h1><p><time>{escape(say['as_of'].format(time=printed))}</time></p></header>"
        f"<main>{body}</main><footer><p>{escape(say['print_note'])}</p></footer></body></html>"
    )


def age(since: datetime, now: datetime, say: Words) -> str:
    """Say how long ago something was."""
    passed = now - since
    if passed < 2 * MINUTE:
        return say["now"]
    if passed < 2 * HOUR:
        return say["minutes"].format(count=passed // MINUTE)
    if passed < 2 * DAY:
        return say["hours_ago"].format(count=passed // HOUR)
    return say["days"].format(count=passed // DAY)


def _row(unit: Unit, now: datetime, say: Words) -> str:
    place = say["confidential"] if unit.confidential else unit.area
    cells = {
        "free": _free(unit, now, say),
        "unit": f"<b>{escape(unit.name)}</b>{_small(_beside(unit, place))}",
        "who": escape(say[unit.household_type]) + _small(", ".join(_who(unit, say))),
        "intake": escape(_hours(unit, say)) + _small(unit.last_in and say["last_in"].format(time=unit.last_in)),
        "phone": escape(unit.phone or ""),
        "reported": _reported(unit, now, say),
    }
    return "<tr>" + "".join(f'<td class="{name}">{cells[name]}</td>' for name in _COLUMNS) + "</tr>"


def _free(unit: Unit, now: datetime, say: Words) -> str:
    if not is_in_season(unit, now):
        return f"<b>{escape(say['no_room'])}</b>{_small(say['closed'])}"
    if unit.open is None:
        return f"<b>{escape(say['call'])}</b>"
    is_counted = unit.available is not None and (unit.open or not unit.available)
    shown = str(unit.available) if is_counted else say["has_room" if unit.open else "no_room"]
    is_plain = unit.status == "capacity" or (unit.status == "no-capacity" and not unit.available)
    maximum = "" if unit.maximum is None else say["of_maximum"].format(maximum=unit.maximum)
    return f"<b>{escape(shown)}</b>{_small(maximum if is_plain else say[unit.status])}"


def _beside(unit: Unit, place: str | None) -> str:
    organization = None if unit.name == unit.organization_name else unit.organization_name
    return " · ".join(each for each in (organization, place) if each)


def _who(unit: Unit, say: Words) -> Iterator[str]:
    if unit.gender_policy != "everyone":
        yield say[unit.gender_policy]
    least, most = unit.minimum_age or 0, OLDEST if unit.maximum_age is None else unit.maximum_age
    if (least, most) != (0, OLDEST):
        yield say["ages_from" if most == OLDEST else "ages" if least else "ages_to"].format(least=least, most=most)
    yield from (say[flag] for flag in _FLAGS if getattr(unit, flag))


def _hours(unit: Unit, say: Words) -> str:
    key = {(True, True): "hours", (True, False): "hours_from", (False, True): "hours_to"}
    found = key.get((unit.intake_from is not None, unit.intake_until is not None))
    return say[found].format(opens=unit.intake_from, closes=unit.intake_until) if found else ""


def _reported(unit: Unit, now: datetime, say: Words) -> str:
    if unit.reported_at is None:
        return "" if unit.open is None else escape(say["never"])
    written = escape(age(datetime.fromisoformat(unit.reported_at), now, say))
    is_overdue = unit.report_due_by is not None and datetime.fromisoformat(unit.report_due_by) < now
    return f'{written}<small class="overdue">{escape(say["overdue"])}</small>' if is_overdue else written


def _small(text: str | None) -> str:
    return f"<small>{escape(text)}</small>" if text else ""
