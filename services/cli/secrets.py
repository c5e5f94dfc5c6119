"""`threshold secrets`: make the keys and the admin credential of a stack."""

from typing import Annotated

import typer

from services.cli.outcome import one_sentence


def secrets(
    compose: Annotated[bool, typer.Option("--compose", help="Those of docker-compose.yml, in its folder.")] = False,
    renew: Annotated[
        list[str] | None, typer.Option(help="With --compose: replace this password or certificate; may be repeated.")
    ] = None,
) -> None:
    """Write the stack's secrets to secrets.env (0600) in THRESHOLD_HOME, unless they are there already.

    With --compose, in the folder `compose` there, and beside them a file for each container with what it is given.
    """
    from deploy.compose import secrets as of_compose
    from deploy.local import home
    from deploy.local.errors import LocalStackError
    from deploy.local.secrets import ensure_secrets, secrets_path
    from deploy.local.settings import LocalSettings

    with one_sentence(LocalStackError):
        settings = LocalSettings.from_environment()
        if renew and not compose:
            raise LocalStackError("--renew is for --compose: a local stack has no passwords.")
        home.prepare(settings)
        folder = settings.home / "compose" if compose else settings.home
        existed = secrets_path(folder).exists()
        if compose:
            of_compose.ensure(folder)
            of_compose.renew(folder, renew or [])
        else:
            ensure_secrets(folder)
    told = "is written" if renew or not existed else "was there already and is unchanged"
    typer.echo(f"{secrets_path(folder)} {told}.")
