"""`threshold sandbox`: who you are in it, and one event of every kind on demand."""

from typing import Annotated

import typer

from services.cli.outcome import one_sentence

app = typer.Typer(help="Try your system with test organizations: `threshold up --sandbox`.", no_args_is_help=True)
_YOU = "sandbox-you"


@app.command()
def env(
    organization: Annotated[str, typer.Option("--as", help="Which of the sandbox's organizations to be.")] = _YOU,
) -> None:
    """Print, for a shell's `eval`, where the services are and with what to sign in."""
    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings
    from services.cli.hmis.client import CannotImport
    from services.cli.sandbox.reached import exports

    with one_sentence(LocalStackError, CannotImport):
        typer.echo("\n".join(exports(LocalSettings.from_environment(), organization)))


@app.command()
def send(
    type_: Annotated[str | None, typer.Argument(metavar="TYPE", help="Such as referral.requested.")] = None,
    every: Annotated[bool, typer.Option("--all", help="One event of every kind; takes a minute.")] = False,
    to: Annotated[str, typer.Option(help="Which of the sandbox's organizations is to hear it.")] = _YOU,
) -> None:
    """Let an event of this type happen between the sandbox's organizations, so that ORG really hears of it.

    Without TYPE and --all it says which types there are. Exit 0 unless something did not arrive at an endpoint that
    wants it.
    """
    import asyncio

    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings
    from services.cli.hmis.client import CannotImport
    from services.cli.sandbox.kinds import KINDS
    from services.cli.sandbox.telling import list_kinds, tell

    if type_ is None and not every:
        list_kinds()
        return
    if type_ is not None and (every or type_ not in KINDS):
        raise typer.BadParameter(f"either --all or one of: {', '.join(KINDS)}", param_hint="TYPE")
    with one_sentence(LocalStackError, CannotImport):
        types = list(KINDS) if every or type_ is None else [type_]
        arrived = asyncio.run(tell(LocalSettings.from_environment(), to, types))
    raise typer.Exit(0 if arrived else 1)
