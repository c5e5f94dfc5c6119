"""`threshold secrets`: make the keys and the admin credential of a stack."""

import typer

from services.cli.outcome import one_sentence


def secrets() -> None:
    """Write the stack's secrets to secrets.env (0600) in THRESHOLD_HOME, unless they are there already."""
    from deploy.local import home
    from deploy.local.errors import LocalStackError
    from deploy.local.secrets import ensure_secrets, secrets_path
    from deploy.local.settings import LocalSettings

    with one_sentence(LocalStackError):
        settings = LocalSettings.from_environment()
        home.prepare(settings)
        existed = secrets_path(settings.home).exists()
        ensure_secrets(settings.home)
    typer.echo(f"{secrets_path(settings.home)} {'was there already and is unchanged' if existed else 'is written'}.")
