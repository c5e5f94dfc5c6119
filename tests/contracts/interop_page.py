"""The examples of docs/interoperability.md, made by the code: `python -m tests.contracts.interop_page` writes them."""

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from policy import canonical
from schemas import beds
from services.kit.broker import Record
from services.shelter_beds.interop import fhir, hsds
from services.webhooks.notices import notices
from tests.contracts.bed_examples import made
from tests.contracts.interop_units import NOW, confidential, full

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "interoperability.md"
_EXAMPLE: Final = re.compile(r"(?<=<!-- example: )(.*?)( -->\n```json\n)(.*?)(?=```)", re.DOTALL)


def page() -> str:
    """The page as it stands, with the examples as they are made."""
    examples = {name: json.dumps(value, indent=1) + "\n" for name, value in _examples().items()}
    return _EXAMPLE.sub(
        lambda found: found[1] + found[2] + examples.pop(found[1]), PAGE.read_text(encoding="utf-8")
    ) + "".join(f"missing: {name}\n" for name in examples)


def _examples() -> dict[str, Any]:
    capacities = [found for unit in (full(), confidential()) if (found := hsds.capacity(unit)) is not None]
    return {
        "capacities": hsds.page(capacities, 1, 50),
        "confidential service": hsds.full_service(confidential(), NOW),
        "location": fhir.location(full(), NOW),
        "hold": _hold(),
    }


def _hold() -> Any:
    event = msgspec.json.decode(made()["hold.placed"], type=beds.HoldPlaced)
    both = msgspec.structs.replace(event.data, bed_ids=("harbor-family-3", "harbor-family-4"))
    value = canonical.encode(msgspec.structs.replace(event, data=both))
    (notice,) = notices([Record("bed-holds", 0, 0, 0, b"harbor-family-3", (), value)])
    return json.loads(notice.written.body)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
