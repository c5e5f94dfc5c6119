"""`threshold topics`: bring Kafka's topics, and who may use them, in line with schemas/topics, or say what differs."""

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli.reached import reached_as

app = typer.Typer(help="Kafka's topics, as schemas/topics declares them.", no_args_is_help=True)

ACLS: Final = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "acls.yaml"

Bootstrap = Annotated[
    str | None,
    typer.Option("--kafka", envvar="THRESHOLD_KAFKA", help="Bootstrap address; the local stack's if absent."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array instead of lines.")]
Acls = Annotated[bool, typer.Option("--acls", help="Also who may use them; needs an administrator of the cluster.")]
Replicas = Annotated[
    int | None,
    typer.Option(
        envvar="THRESHOLD_KAFKA_REPLICAS", min=1, help="Copies of each topic; a write waits for all but one of them."
    ),
]


@app.command()
def apply(kafka: Bootstrap = None, replicas: Replicas = None, acls: Acls = False, as_json: AsJson = False) -> None:
    """Create the topics that are missing and correct settings that differ.

    With --acls, every right, and the passwords of the users whose THRESHOLD_<USER>_KAFKA_PASSWORD is set.
    """
    from services.kit import cluster, granting
    from services.kit.rights import OPERATOR, rights
    from services.kit.topics import load

    declared = load()
    with reached_as(OPERATOR, kafka) as reached:
        changes = cluster.apply(reached, replicas=replicas)
        if acls:
            everything = rights(declared)
            # The rights first: a broker that refuses to set passwords logs them, and one refuses both or none.
            changes += granting.grant(reached, everything)
            changes += granting.set_passwords(reached, _passwords({right.user for right in everything}))
    _show([str(change) for change in changes], as_json, nothing="Every topic is as declared.")


@app.command()
def check(kafka: Bootstrap = None, replicas: Replicas = None, acls: Acls = False, as_json: AsJson = False) -> None:
    """Say where the cluster differs from the declarations; exit 1 if it does."""
    from services.kit import cluster, granting
    from services.kit.rights import OPERATOR, rights
    from services.kit.topics import load

    with reached_as(OPERATOR, kafka) as reached:
        differences = cluster.check(reached, replicas=replicas)
        if acls:
            differences += granting.lacking(reached, rights(load()))
    _show(differences, as_json, nothing="Every topic is as declared.")
    if differences:
        raise typer.Exit(1)


@app.command("acls")
def show_acls(
    write: Annotated[bool, typer.Option("--write", help="Write deploy/kafka/acls.yaml instead.")] = False,
) -> None:
    """Print who may do what on which topic: what `apply --acls` sets, for people and for other tools."""
    from services.kit.rights import as_yaml, rights
    from services.kit.topics import load

    text = as_yaml(rights(load()))
    if write:
        ACLS.write_text(text, encoding="utf-8")
    else:
        typer.echo(text, nl=False)


def _passwords(users: set[str]) -> dict[str, str]:
    names = {user: f"THRESHOLD_{user.upper()}_KAFKA_PASSWORD" for user in sorted(users)}
    return {user: os.environ[name] for user, name in names.items() if name in os.environ}


def _show(lines: list[str], as_json: bool, *, nothing: str) -> None:
    typer.echo(json.dumps(lines) if as_json else "\n".join(lines or [nothing]))
