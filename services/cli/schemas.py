"""`threshold schemas`: the documents of what is said, generated into schemas/generated, and frozen for a release."""

import typer

from services.cli.outcome import one_sentence

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


@app.command()
def release(version: int) -> None:
    """Freeze the JSON Schemas as they are in schemas/generated: what is said from now on must fit them."""
    from services.cli.documents import released

    with one_sentence(released.NotReleasedError):
        typer.echo(f"schemas/released/{version} is frozen: {released.freeze(version)}")
