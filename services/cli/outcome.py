"""How a command ends when it cannot do what it was asked: one sentence, exit code 1, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def one_sentence(*errors: type[Exception]) -> Iterator[None]:
    """Turn these errors, whose text is a sentence made for people, into that sentence on stderr and exit code 1."""
    try:
        yield
    except errors as error:
        typer.echo(f"threshold: {error}", err=True)
        raise typer.Exit(1) from None
