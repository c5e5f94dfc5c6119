"""AsyncAPI's own parser finds nothing wrong with our document, and something with one that has a fault."""

import json
from pathlib import Path
from typing import Any

from services.cli.documents import published
from services.kit import topics
from tests.extra.tools import line_of, start_node

DOCUMENT = published.FOLDER / "asyncapi.json"
WARNING = 1  # of the parser's severities: 0 is an error, 1 a warning; 2 and 3 are advice


async def found_by_the_parser(document: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What it finds wrong, and the addresses of the channels that it has read."""
    node = await start_node("check-asyncapi.mjs", str(document))
    said = await line_of(node)
    assert await node.wait() == 0
    return [each for each in said["diagnostics"] if each["severity"] <= WARNING], said["channels"]


async def test_the_parser_finds_nothing_wrong_and_every_topic() -> None:
    assert await found_by_the_parser(DOCUMENT) == ([], sorted(topics.load()))


async def test_the_parser_finds_what_is_planted(tmp_path: Path) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    document["operations"]["boundary.sends.disclosures"]["channel"]["$ref"] = "#/channels/nowhere"
    document["channels"]["disclosures"]["adress"] = "disclosures"
    planted = tmp_path / "asyncapi.json"
    planted.write_text(json.dumps(document), encoding="utf-8")
    wrong, _ = await found_by_the_parser(planted)
    places = {each["path"] for each in wrong}
    assert {"operations/boundary.sends.disclosures/channel/$ref", "channels/disclosures/adress"} <= places, wrong
