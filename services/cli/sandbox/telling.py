"""What the sandbox prints: how to go on, which kinds there are, and what came of each."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.settings import LocalSettings
from services.cli.hmis.client import Refused, running_stack
from services.cli.sandbox.cast import Cast
from services.cli.sandbox.kinds import KINDS
from services.cli.sandbox.reached import command, sandbox_of
from services.cli.sandbox.sending import Outcome, send
from services.cli.sandbox.town import OUTREACH, SHELTER, YOU, callers_of

WIDTH = max(map(len, KINDS))
WORD_WIDTH = 12


def how_to_go_on(settings: LocalSettings) -> Sequence[Text | Table]:
    """Return what to show of a sandbox that is ready: who is in it, and what to type next."""
    table = Table("test organization", "what it does", title="The sandbox", title_justify="left")
    for name, does in ((OUTREACH, "refers people"), (SHELTER, "has beds"), (YOU, "is your system")):
        table.add_row(name, does)
    threshold = command(settings)
    lines = [
        ("They share everything that a client agrees to. In another terminal:", ""),
        (f'  eval "$({threshold} sandbox env)"', "bold"),
        (f"  {threshold} sandbox send --all", "bold"),
        ("The first says where everything is and who you are; docs/connect.md goes on from there.", ""),
        ("The second lets one event of every kind happen, and says what came of it.", ""),
    ]
    return [table, *(Text(line, style=style) for line, style in lines)]


def list_kinds() -> None:
    """Print every type and how it comes about."""
    console = Console(highlight=False)
    for type_, kind in KINDS.items():
        console.print(_row(Text(), type_, Text(kind.story)))


async def tell(settings: LocalSettings, to: str, types: Sequence[str]) -> bool:
    """Send types to an organization of the sandbox, and print what came of each; return whether all arrived."""
    sandbox = sandbox_of(settings, to)
    console, good, arrived = Console(highlight=False), True, 0
    async with callers_of(running_stack(settings), sandbox["organizations"]) as callers:
        try:
            async for outcome in send(Cast(to, callers, sandbox["units"]), types):
                console.print(_told(outcome))
                good, arrived = good and outcome.good, arrived + outcome.arrived
        except Refused as refused:
            console.print(Text(f"✗ The services refused it: {refused}", style="red"))
            return False
    console.print(Text(f"{arrived} delivered to {to}.", style="bold green" if good and arrived else "bold"))
    if good and not arrived:
        console.print("No endpoint wants what was sent: make one by POST /endpoints, or read GET /inbox.")
    return good


def _told(outcome: Outcome) -> Table:
    mark, style = ("✗", "red") if not outcome.good else ("✓", "green") if outcome.arrived else ("·", "dim")
    story = f"  {KINDS[outcome.type].story}" if outcome.good else ""
    text = Text.assemble((f"{outcome.word:<{WORD_WIDTH}}", style), (story, "dim"))
    return _row(Text(mark, style=style), outcome.type, text)


def _row(mark: Text, type_: str, text: Text) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1)
    row.add_column(width=WIDTH)
    row.add_column(overflow="fold")
    row.add_row(mark, type_, text)
    return row
