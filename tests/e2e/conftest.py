"""One stack and one community for all tests of this folder."""

from tests.support.one_stack import running_stack, town

__all__ = ["running_stack", "town"]
