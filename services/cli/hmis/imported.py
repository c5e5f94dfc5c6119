"""Imports an export folder into the stack of this machine: read, plan, carry out, and say what came of it."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deploy.local.settings import LocalSettings
from services.cli.hmis.beds import Clock
from services.cli.hmis.client import Caller, CannotImport, Refused, Stack, connections, running_stack
from services.cli.hmis.credentials import Credentials
from services.cli.hmis.directory import SCOPES, Directory
from services.cli.hmis.importer import AT_ONCE, Importer
from services.cli.hmis.mapping import plan_import
from services.cli.hmis.plan import Mode, Only, Plan, safe_id
from services.cli.hmis.progress import Progress, shown
from services.cli.hmis.reading import FILES, read_export
from services.cli.hmis.report import Report
from services.cli.hmis.results import Results

ABOUT_ORGANIZATIONS: Final = frozenset({"Export.csv", "Organization.csv", "Project.csv", "HMISParticipation.csv"})
ABOUT_BEDS: Final = ABOUT_ORGANIZATIONS | {"Inventory.csv", "Services.csv", "Enrollment.csv", "Exit.csv", "Client.csv"}


@dataclass(frozen=True)
class Imported:
    """What came of an import; `source` names the export's HMIS, None where the export does not."""

    source: str | None
    mode: Mode
    only: Only | None
    report: Report
    results: Results
    seconds: float

    @property
    def complete(self) -> bool:
        """Tell whether the services took everything that could be read."""
        return self.source is not None and not self.results.refused.total()

    def as_json(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        about = {
            "source": self.source,
            "mode": self.mode,
            "only": self.only,
            "seconds": round(self.seconds, 2),
        }
        return {**about, **self.report.as_json(), **self.results.as_json()}


async def import_folder(folder: Path, *, mode: Mode, only: Only | None, time_zone: ZoneInfo) -> Imported:
    """Import the export in `folder`; CannotImport when that is none, or when the stack is not there to take it.

    `time_zone` is the one of the export's dates, of which they do not speak.
    """
    if not any((folder / name).is_file() for name in FILES):
        raise CannotImport(f"{folder} holds no HMIS CSV export: none of its files, such as Export.csv, is there.")
    began = time.perf_counter()
    settings = LocalSettings.from_environment()
    stack = running_stack(settings)
    clock = Clock(time_zone, datetime.now(UTC))
    with shown() as progress:
        source, plan, report = _planned(folder, mode, clock)
        results = Results()
        if source is not None:
            credentials = credentials_of(settings, source)
            await _carried_out(plan, mode, stack, credentials, results, progress, clock=clock, only=only)
    if only is not None:
        report = _about(ABOUT_BEDS if only == "beds" else ABOUT_ORGANIZATIONS, report)
    return Imported(source, mode, only, report, results, time.perf_counter() - began)


def credentials_of(settings: LocalSettings, source: str) -> Credentials:
    """Return the API clients that imports of a source's exports have made on this stack."""
    return Credentials(settings.home / "imports" / f"{source}.json", SCOPES)


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name; CannotImport for what is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CannotImport(f"{name} is no time zone; one is America/Chicago.") from None


def _planned(folder: Path, mode: Mode, clock: Clock) -> tuple[str | None, Plan, Report]:
    report = Report()
    export = read_export(folder, report)
    plan = plan_import(export, report, clock.today, mode)
    return safe_id(export.source.id) if export.source else None, plan, report


async def _carried_out(
    plan: Plan,
    mode: Mode,
    stack: Stack,
    credentials: Credentials,
    results: Results,
    progress: Progress,
    *,
    clock: Clock,
    only: Only | None,
) -> None:
    async with connections(AT_ONCE) as http:
        admin = Caller(stack, stack.admin, http)
        try:
            await admin.sign_in(patience=0)
        except Refused:
            raise CannotImport("The stack does not accept the credential in its own stack.json.") from None
        make_caller = partial(Caller, stack, http=http)
        directory = Directory(admin, make_caller, plan.projects, credentials, results)
        importer = Importer(plan, mode, directory, results, progress)
        await importer.organizations()
        if only != "organizations":
            await importer.beds(clock)
        if only is None:
            await importer.clients()
            await importer.referrals()


def _about(files: Collection[str], report: Report) -> Report:
    """Say nothing of the rows that were not asked for."""
    findings = [each for each in report.findings if each.file in files]
    kept = Report(findings, skipped=report.skipped)
    kept.rows.update({file: count for file, count in report.rows.items() if file in files})
    return kept
