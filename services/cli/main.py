"""The `threshold` command: its sub-commands, one module each, which import what they need when they run."""

import typer

from services.cli import audit, databases, importing, restored, schemas, secrets, topics, up
from services.cli.demo import command as demo
from services.cli.sandbox import command as sandbox

app = typer.Typer(
    help="Homeless-services organizations act together; nothing crosses without the client's consent.",
    no_args_is_help=True,
    # A traceback is for the maintainers' logs; locals in one could show secrets or personal data.
    pretty_exceptions_show_locals=False,
)
app.command("up")(up.up)
app.command("databases")(databases.databases)
app.command("restored")(restored.restored)
app.command("secrets")(secrets.secrets)
app.command("restored")(restored.restored)
app.add_typer(demo.app, name="demo")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(importing.app, name="import")
app.add_typer(topics.app, name="topics")
app.add_typer(audit.app, name="audit")
app.add_typer(schemas.app, name="schemas")
