"""Records which way a run went through the policy: every step from one instruction of a function to the next."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import policy
from policy import signatures

_FOLDER = str(Path(policy.__file__).parent)
# In a function of a file, from one instruction to another. Which way an `and` or an `if` went is in it, how often a
# loop ran is not.
Arc = tuple[str, str, int, int]


def path_of(run: Callable[[], Any]) -> frozenset[Arc]:
    """The way that `run` took through the policy's modules."""
    arcs: set[Arc] = set()

    def enter(frame: FrameType, _event: str, _argument: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_FOLDER):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        name, last = (Path(code.co_filename).name, f"{code.co_qualname}:{code.co_firstlineno}"), -1

        def advance(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal last
            if event == "opcode":
                arcs.add((*name, last, frame.f_lasti))
                last = frame.f_lasti
            return advance

        return advance

    _trace(run, enter)
    return frozenset(arcs)


def lines_of(run: Callable[[], Any]) -> frozenset[tuple[str, int]]:
    """The lines of the policy's files that `run` came by."""
    lines: set[tuple[str, int]] = set()

    def enter(frame: FrameType, _event: str, _argument: object) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(_FOLDER):
            return None
        lines.add((Path(file).name, frame.f_lineno))
        return enter

    _trace(run, enter)
    return frozenset(lines)


def _trace(run: Callable[[], Any], enter: Callable[[FrameType, str, object], Any]) -> None:
    signatures._public_key.cache_clear()  # what an earlier run left there is not this one's way
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run()
    finally:
        sys.settrace(before)
