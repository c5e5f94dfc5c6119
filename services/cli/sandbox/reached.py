"""The sandbox of the stack that runs here: what stack.json says of it, and the shell's variables for it."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalStackError
from deploy.local.settings import LocalSettings
from services.cli.demo.community import STAFF
from services.cli.hmis.client import running_stack
from services.cli.sandbox.town import OUTREACH, SHELTER

NO_SANDBOX = "The stack that runs here has no sandbox: start it with `threshold up --sandbox`."


def sandbox_of(settings: LocalSettings, organization: str) -> dict[str, Any]:
    """Return what stack.json says of the sandbox that this organization is of; LocalStackError, CannotImport."""
    running_stack(settings)  # says what to do if none runs
    found: dict[str, Any] | None = json.loads(settings.stack_file.read_text()).get("sandbox")
    if found is None:
        raise LocalStackError(NO_SANDBOX)
    if organization not in found["organizations"]:
        names = ", ".join(found["organizations"])
        raise LocalStackError(f"{organization} is no organization of the sandbox, which acts for these alone: {names}.")
    return found


def exports(settings: LocalSettings, organization: str) -> Iterator[str]:
    """Yield a shell's lines: each service's address by its name, and what `organization` signs in with."""
    credential = sandbox_of(settings, organization)["organizations"][organization]
    values = {
        **{name.upper(): url for name, url in running_stack(settings).services.items()},
        "CLIENT_ID": credential["client_id"],
        "CLIENT_SECRET": credential["client_secret"],
        "ORGANIZATION": organization,
        "OUTREACH": OUTREACH,
        "SHELTER": SHELTER,
        "CONTACT": STAFF,
        "THRESHOLD_HOME": str(settings.home.absolute()),
        "THRESHOLD_PORT_BASE": str(settings.port_base),
    }
    for name, value in values.items():
        yield f"export {name}={shlex.quote(value)}"


def command(settings: LocalSettings) -> str:
    """Return how this very command is called from another terminal in the same folder."""
    program = Path(sys.argv[0])
    called = str(program) if program.name == "threshold" else f"{sys.executable} -m services.cli"
    elsewhere = settings.home != LocalSettings.from_environment({}).home
    return f"THRESHOLD_HOME={shlex.quote(str(settings.home))} {called}" if elsewhere else called
