"""`python -m services.cli`: the `threshold` command where its script is not on the path."""

from services.cli.main import app

app()
