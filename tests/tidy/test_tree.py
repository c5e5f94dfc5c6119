"""Rules about every file of the tree; each exemption says why it is one."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from tests.support.tree import PACKAGES, ROOT, files, imports, name, parsed

LONGEST_FILE = 300  # lines
VAGUE_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}

# rule -> {file: why it is exempt}
EXEMPT: Mapping[str, Mapping[str, str]] = {
    "length": {},
    "sleep": {"tests/support/waiting.py": "the one place that waits: for a condition, with a deadline"},
    "hosts": {"tests/tidy/test_tree.py": "it has to name what it forbids"},
    "stand-ins": {},
    "skips": {"tests/tidy/test_tree.py": "it has to name what it forbids"},
}

# A lock file or a page that names a registry or somebody's folder works on that one machine only.
HOSTS_AND_MACHINE_PATHS = re.compile(
    r"pypi\.org|pythonhosted\.org|repo1?\.maven|registry\.npmjs|proxy\.golang|(?<![\w.}])/(?:home|root|Users|work|tmp)/"
)
SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
SLEEP_CALL = re.compile(r"\b(?:time|asyncio|anyio)\.sleep\(")
STAND_INS = ("unittest.mock", "sqlite3", "aiosqlite", "mock", "kafka_mock", "testing.postgresql")
SKIPS = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b")

PYTHON = tuple(files(".py"))
TESTS = tuple(path for path in PYTHON if name(path).startswith("tests/"))
TEXT = tuple(files(".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".json", ".html", ".sql", ".sha256", ".mako", ""))


def offenders(rule: str, paths: Iterable[Path], breaks: Callable[[Path], object]) -> list[str]:
    """Return the files that break a rule and are not exempt from it."""
    return [name(path) for path in paths if name(path) not in EXEMPT.get(rule, {}) and breaks(path)]


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    assert offenders("length", PYTHON, lambda path: len(path.read_text().splitlines()) >= LONGEST_FILE) == []


def test_every_module_says_in_its_first_line_the_one_thing_it_does() -> None:
    assert offenders("docstring", PYTHON, lambda path: not _begins_with_a_sentence(path)) == []


def test_tests_wait_for_conditions_and_never_for_a_time() -> None:
    assert (
        offenders("sleep", TESTS, lambda path: SLEEP_CALL.search(path.read_text()) or SLEEPS & set(imports(path))) == []
    )


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert offenders("name", PYTHON, lambda path: VAGUE_NAMES & {path.stem, path.parent.name}) == []


def test_the_tree_names_no_package_registry_and_no_folder_of_a_machine() -> None:
    assert offenders("hosts", TEXT, lambda path: HOSTS_AND_MACHINE_PATHS.search(path.read_text(encoding="utf-8"))) == []


def test_nothing_stands_in_for_kafka_or_postgresql() -> None:
    assert offenders("stand-ins", PYTHON, lambda path: any(i.startswith(STAND_INS) for i in imports(path))) == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    assert offenders("skips", TESTS, lambda path: SKIPS.search(path.read_text())) == []


def test_every_folder_of_modules_is_a_package() -> None:
    scripts = {"versions", "examples"}  # of Alembic's, and to be copied by others: nothing imports them
    folders = {path.parent for path in PYTHON if path.parent != ROOT and not scripts & set(path.parts)}
    assert sorted(name(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_every_package_is_installed_with_its_data() -> None:
    settings = (ROOT / "pyproject.toml").read_text()
    data = {path.suffix for path in files() if name(path).startswith(PACKAGES) and path.suffix not in {".py", ""}}
    assert [suffix for suffix in sorted(data) if f'"*{suffix}"' not in settings] == []


@pytest.mark.parametrize(("rule", "path"), [(rule, path) for rule, paths in EXEMPT.items() for path in paths])
def test_an_exemption_is_explained_and_still_has_its_file(rule: str, path: str) -> None:
    assert (ROOT / path).is_file()
    assert len(EXEMPT[rule][path].split()) >= 4


def _begins_with_a_sentence(path: Path) -> bool:
    first = path.read_text(encoding="utf-8").splitlines()[:1]
    body = parsed(path).body
    return bool(body) and first[0].startswith(('"""', 'r"""')) and first[0].rstrip('"').endswith((".", "?", "!"))
