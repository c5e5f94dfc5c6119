"""The JSON Schemas of releases: frozen as they were, and what of them the present ones do not keep."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

import schemas
from schemas.compatibility import unreadable
from services.cli.documents.published import FOLDER as GENERATED
from services.cli.documents.published import JSON_SCHEMAS, WEBHOOKS

FOLDER: Final = Path(schemas.__file__).parent / "released"


class NotReleasedError(Exception):
    """Why nothing was frozen; a sentence for people."""


def freeze(version: int, folder: Path = FOLDER, generated: Path = GENERATED) -> str:
    """Copy the generated JSON Schemas as a version, once; return their digest. NotReleasedError."""
    following = max(versions(folder), default=0) + 1
    if version != following:
        raise NotReleasedError(f"the next version is {following}, and what is released stays as it is.")
    shutil.copytree(generated / JSON_SCHEMAS, folder / str(version))
    return digest(version, folder)


def versions(folder: Path = FOLDER) -> list[int]:
    """List the versions that are frozen."""
    return sorted(int(path.name) for path in folder.glob("*") if path.is_dir())


def digest(version: int, folder: Path = FOLDER) -> str:
    """Give the SHA-256 of all documents of a version with their names."""
    whole = hashlib.sha256()
    for name, document in sorted(documents(version, folder).items()):
        whole.update(f"{name} {json.dumps(document, sort_keys=True)}\n".encode())
    return whole.hexdigest()


def documents(version: int, folder: Path = FOLDER) -> dict[str, Any]:
    """Read a version's documents, by name."""
    return _read(folder / str(version))


def present() -> dict[str, Any]:
    """Read the documents of what is said now, by name."""
    return _read(GENERATED / JSON_SCHEMAS)


def _read(folder: Path) -> dict[str, Any]:
    paths = {path.relative_to(folder).as_posix().removesuffix(".json"): path for path in folder.rglob("*.json")}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items()}


def broken(released: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List what the present documents do not keep of a release, as `document place: why`.

    What stands on topics and in boxes stays, so the present schema takes all that the released one allowed. A receiver
    of webhooks may be as old as the release, so the released schema takes all that is sent now, but for new fields.
    """
    return [f"{name}{why}" for name, schema in sorted(released.items()) for why in _broken(name, schema, now)]


def _broken(name: str, released: Any, now: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any JSON Schema
    if name not in now:
        return [": is gone"]
    if name.startswith(f"{WEBHOOKS}/"):
        return unreadable(now[name], released, leaves_unknown=True)
    return unreadable(released, now[name])
