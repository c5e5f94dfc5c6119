"""Reads the tables of cases: what each step says, and what is expected of the last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases"
WORLD = "world.yaml"
# What a step may say beside its verb.
MODIFIERS = frozenset(
    {"as", "client", "order", "event_id", "at", "key", "moved_to", "headers", "signed_by", "log"}
    | {"damaged", "respelled", "result"}
)


class _Loader(yaml.SafeLoader):
    """Leaves dates and times the text that they are."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, eq=False)
class Step:
    """One record: a verb with what it says, and how the record came to the log."""

    verb: str
    says: Any
    modifiers: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """Records, and what the last of them makes cross. `world`: community, nothing (a begun log) or void (none)."""

    name: str
    file: str
    world: str
    steps: tuple[Step, ...]
    then: Any

    def __str__(self) -> str:
        """Name it as pytest shows it."""
        return f"{self.file}: {self.name}"


@cache
def cases() -> tuple[Case, ...]:
    """Every case, file by file."""
    return tuple(case for path in sorted(FOLDER.glob("*.yaml")) if path.name != WORLD for case in _read(path))


@cache
def world() -> Mapping[str, Any]:
    """The organizations and agreements that cases begin with."""
    return _load(FOLDER / WORLD)


def _load(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return found


def _read(path: Path) -> Iterator[Case]:
    for each in _load(path)["cases"]:
        unknown = set(each) - {"case", "world", "steps", "then", "law"}
        if unknown:
            raise ValueError(f"{path.name}: {each['case']}: nothing reads {sorted(unknown)}")
        yield Case(
            name=each["case"],
            file=path.stem,
            world=each.get("world", "community"),
            steps=tuple(_step(step) for step in each["steps"]),
            then=each["then"],
        )


def _step(written: Mapping[str, Any]) -> Step:
    verbs = set(written) - MODIFIERS
    if len(verbs) != 1:
        raise ValueError(f"a step has one verb, not {sorted(verbs)}")
    verb = verbs.pop()
    return Step(verb, written[verb], {name: value for name, value in written.items() if name != verb})
