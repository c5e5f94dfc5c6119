"""The one error of the local stack: a sentence a person can act on."""


class LocalStackError(Exception):
    """Why the local stack cannot start or go on, as one sentence; the command line prints it and exits 1."""
