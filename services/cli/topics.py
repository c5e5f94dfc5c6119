"""`threshold topics`: bring Kafka's topics in line with schemas/topics, or say where they differ."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from services.cli.outcome import one_sentence

app = typer.Typer(help="Kafka's topics, as schemas/topics declares them.", no_args_is_help=True)

Bootstrap = Annotated[
    str | None,
    typer.Option("--kafka", envvar="THRESHOLD_KAFKA", help="Bootstrap address; the local stack's if absent."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array instead of lines.")]


@app.command()
def apply(kafka: Bootstrap = None, as_json: AsJson = False) -> None:
    """Create the topics that are missing and correct settings that differ."""
    from services.kit import cluster

    with _reachable(kafka) as bootstrap:
        changes = [str(change) for change in cluster.apply(bootstrap)]
    _show(changes, as_json, nothing="Every topic is as declared.")


@app.command()
def check(kafka: Bootstrap = None, as_json: AsJson = False) -> None:
    """Say where the cluster differs from the declarations; exit 1 if it does."""
    from services.kit import cluster

    with _reachable(kafka) as bootstrap:
        differences = cluster.check(bootstrap)
    _show(differences, as_json, nothing="Every topic is as declared.")
    if differences:
        raise typer.Exit(1)


@contextmanager
def _reachable(kafka: str | None) -> Iterator[str]:
    from kafka.errors import KafkaError

    from deploy.local.errors import LocalStackError
    from deploy.local.settings import LocalSettings

    with one_sentence(LocalStackError):
        bootstrap = kafka or LocalSettings.from_environment().kafka
        try:
            yield bootstrap
        except KafkaError as error:
            raise LocalStackError(f"Kafka at {bootstrap} did not do it ({error}): is the stack up?") from None


def _show(lines: list[str], as_json: bool, *, nothing: str) -> None:
    typer.echo(json.dumps(lines) if as_json else "\n".join(lines or [nothing]))
