"""Kafka's jars: fetched once from their Maven coordinates and refused unless every sha256 sum is the pinned one."""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.settings import LocalSettings

COORDINATES = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
PINNED = Path(__file__).with_name("jars.sha256")


def pinned_sums() -> dict[str, str]:
    """Return the pinned sums, file name -> lower hex sha256, in the order of the class path."""
    return {name: digest for digest, name in (line.split() for line in PINNED.read_text().splitlines())}


def checked_class_path(folder: Path) -> str:
    """Return the class path of the jars in `folder`; raise LocalStackError if one is missing or not the pinned one."""
    for name, digest in pinned_sums().items():
        _check(folder / name, digest)
    return ":".join(str(folder / name) for name in pinned_sums())


def fetch(folder: Path) -> None:
    """Fill `folder` with the pinned jars, downloading them only if they are not all there already."""
    try:
        checked_class_path(folder)
    except LocalStackError:
        _download(folder)
        checked_class_path(folder)


def _check(jar: Path, digest: str) -> None:
    if not jar.is_file():
        raise LocalStackError(f"Kafka's {jar.name} is missing from {jar.parent}: run `make setup`.")
    if _sha256(jar) != digest:
        raise LocalStackError(
            f"{jar} is not the file that {PINNED.name} pins (its sha256 differs), so Kafka is not started: "
            "delete it and run `make setup`."
        )


def _sha256(jar: Path) -> str:
    with jar.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _download(folder: Path) -> None:
    # Imported here: only `make setup` downloads, and jgo is slow to import.
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    # A repository of its own, thrown away after: an altered jar in a shared ~/.m2 would otherwise come back for ever.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        context = MavenContext(repo_cache=Path(scratch, "repository"))
        builder = EnvironmentBuilder(context, cache_dir=Path(scratch, "cache"), link_strategy=LinkStrategy.COPY)
        for jar in builder.from_endpoint(COORDINATES).all_jars:
            shutil.move(jar, folder / jar.name)


if __name__ == "__main__":
    try:
        fetch(LocalSettings.from_environment().jars)
    except LocalStackError as error:
        sys.exit(str(error))
