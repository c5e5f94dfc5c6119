"""The sandbox has a way for each type that webhooks can send, and says which there are."""

import json

from typer.testing import CliRunner

from services.cli.main import app
from services.cli.sandbox.kinds import KINDS
from services.webhooks.bodies import TYPES
from services.webhooks.notices import AVAILABILITY_TYPE, wanted
from services.webhooks.pings import TYPE
from tests.support.tree import ROOT


def test_each_type_that_webhooks_can_send_can_be_had() -> None:
    assert set(KINDS) == {*TYPES, TYPE}
    published = json.loads((ROOT / "schemas" / "generated" / "openapi" / "webhooks.json").read_text())
    assert set(KINDS) == set(published["webhooks"])


def test_what_must_be_named_by_an_endpoint_is_known() -> None:
    assert [type_ for type_, kind in KINDS.items() if kind.by_name] == [AVAILABILITY_TYPE]
    assert [type_ for type_ in KINDS if not wanted(["*"], type_)] == [AVAILABILITY_TYPE]


def test_without_a_type_they_are_listed_and_a_wrong_one_is_named() -> None:
    listed = CliRunner().invoke(app, ["sandbox", "send"])
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == list(KINDS)
    for wrong in (["sandbox", "send", "referral.forgotten"], ["sandbox", "send", "hold.placed", "--all"]):
        assert CliRunner().invoke(app, wrong).exit_code == 2
