"""`threshold schemas`: the documents of what is said, generated into schemas/generated."""

import typer

app = typer.Typer(help="JSON Schemas, AsyncAPI and OpenAPI, generated from the code.", no_args_is_help=True)


@app.command()
def write() -> None:
    """Write every document into schemas/generated."""
    from services.cli.documents import published

    typer.echo("\n".join(published.write(published.files()) or ["Every document is as generated."]))


@app.command()
def check() -> None:
    """Say which documents are not as generated; exit 1 if any."""
    from services.cli.documents import published

    changed = published.differing(published.files())
    typer.echo("\n".join(changed or ["Every document is as generated."]))
    if changed:
        raise typer.Exit(1)
