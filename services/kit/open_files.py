"""Lets a process have many connections: each is an open file."""

import resource


def allow(most: int) -> None:
    """Raise the limit of open files to `most`, or as far as the machine lets a process go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
