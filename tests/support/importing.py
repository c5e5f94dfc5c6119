"""`threshold import hmis-csv` as its users run it, and the imported organizations as API clients of their own."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.governance import Caller
from tests.support.receiver import Receiver, receiving
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until

WITHIN = 120.0  # seconds
SCOPES = [  # what an organization's own system does here
    "agreements:approve",
    "clients:write",
    "consents:write",
    "referrals:read",
    "webhooks:manage",
]
CATEGORIES = ["identity", "demographics", "veteran", "household", "housing_history", "disability", "health"]
PURPOSES = ["shelter-placement", "housing-placement"]
SHORTEST_NAME = 3  # an initial is in half of all texts


@dataclass(frozen=True)
class Ran:
    """What a run of the command gave."""

    code: int
    printed: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        """What it printed under --json."""
        report: dict[str, Any] = json.loads(self.printed)
        return report

    def made(self, kind: str) -> int:
        """How many of a kind are new."""
        return int(self.report["results"][kind]["made"])

    def present(self, kind: str) -> int:
        """How many of a kind were there already."""
        return int(self.report["results"][kind]["present"])

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """What the services refused."""
        return [each for each in self.report["remarks"] if self.report["results"][each["kind"]]["refused"]]


def run_import(environment: dict[str, str], folder: Path, *options: str, within: float = WITHIN) -> Ran:
    """Run the command to its end."""
    command = (sys.executable, "-m", "services.cli", "import", "hmis-csv", str(folder), *options)
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=within, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@dataclass(frozen=True)
class Place:
    """A running stack and its administrator."""

    stack: StackProcess
    admin: Caller

    def url(self, service: str, path: str) -> str:
        return self.stack.services[service] + path

    def takes(self, folder: Path, *options: str, within: float = WITHIN) -> Ran:
        """Import a folder."""
        return run_import(self.stack._environment, folder, *options, "--json", within=within)

    def members(self, source: str) -> dict[str, Caller]:
        """The systems of the organizations of an imported export."""
        listed = self.admin.get("/organizations", limit="200").json()["items"]
        ids = [each["id"] for each in listed if each["id"].startswith(f"{source}-")]
        return {each: self._system(each) for each in ids}

    def _system(self, organization_id: str) -> Caller:
        """An organization's own system: another API client than the importer's."""
        made = self.admin.post(f"/organizations/{organization_id}/credentials", {"name": "system", "scopes": SCOPES})
        return Caller(self.stack, made.json()["client_id"], made.json()["client_secret"])

    def referrals(self, caller: Caller) -> list[dict[str, Any]]:
        """The referrals that an organization made."""
        listed = caller.get(self.url("referrals", "/referrals"), limit="200").json()["items"]
        return [each for each in listed if "crossing" in each]


@asynccontextmanager
async def listening(place: Place, members: dict[str, Caller]) -> AsyncIterator[Receiver]:
    """Every organization's endpoint, at a receiver of the test's own."""
    async with receiving() as receiver:
        for id_, caller in members.items():
            body = {"url": receiver.desk(id_).url, "types": ["*"]}
            made = caller.post(place.url("webhooks", "/endpoints"), body)
            assert made.status_code == 201, made.text
        yield receiver


def arrivals(receiver: Receiver) -> list[dict[str, Any]]:
    return [{"to": name} | each.data for name, desk in receiver.desks.items() for each in desk.received]


def everything(receiver: Receiver) -> set[str]:
    """Every word that arrived."""
    return words(" ".join(each.raw.decode() for desk in receiver.desks.values() for each in desk.received))


def agree(admin: Caller, members: dict[str, Caller]) -> None:
    """An agreement among all of them, approved by each and in force: every category, and de-identified referrals."""
    parties = list(members)
    term = {"from": parties, "to": parties, "purposes": PURPOSES, "categories": CATEGORIES, "deidentified": True}
    drafted = admin.post("/agreements", {"title": "Referrals", "parties": parties, "terms": [term]})
    assert drafted.status_code == 201, drafted.text
    path = f"/agreements/{drafted.json()['id']}"
    for caller in members.values():
        assert caller.post(f"{path}/approvals", Prefer="wait=20").status_code == 200
    wait_until(lambda: admin.get(path).json()["status"] == "active", what="the agreement to be active")


def people(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of Client.csv by PersonalID."""
    return {row["PersonalID"]: row for row in _rows(folder / "Client.csv")}


def person_of(folder: Path, event_id: str) -> dict[str, str]:
    """The row of Client.csv of the person whom an event is about."""
    (event,) = [row for row in _rows(folder / "Event.csv") if row["EventID"] == event_id]
    return people(folder)[event["PersonalID"]]


def traces(folder: Path) -> set[str]:
    """Every word of the export that points at a person: names, Social Security numbers, ids."""
    columns = ("FirstName", "MiddleName", "LastName", "SSN", "PersonalID")
    cells = " ".join(row[column] for row in people(folder).values() for column in columns)
    return {word for word in words(cells) if len(word) >= SHORTEST_NAME} - _organizations_words(folder)


def words(text: str) -> set[str]:
    """The words and numbers of a text."""
    return set(re.findall(r"[^\W_]+", text))


def _organizations_words(folder: Path) -> set[str]:
    """The words of the organizations' names, which every recipient may read."""
    return words(" ".join(row["OrganizationName"] for row in _rows(folder / "Organization.csv")))


def excerpt(source: Path, target: Path, source_id: str) -> Path:
    """Write the part of an export that is about people with events, as if it came from another HMIS."""
    target.mkdir(parents=True)
    referred = {row["PersonalID"] for row in _rows(source / "Event.csv")}
    for path in source.glob("*.csv"):
        rows = [row for row in _rows(path) if row.get("PersonalID", "") in {"", *referred}]
        if path.name == "Export.csv":
            rows[0]["SourceID"] = source_id
        with (target / path.name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return target


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
