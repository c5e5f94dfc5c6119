"""The `threshold` command as such: it is quick to say what it can do."""

import subprocess
import sys

HEAVY = {
    "aiohttp",
    "aiokafka",
    "alembic",
    "cryptography",
    "faust",
    "httpx",
    "kafka",
    "psycopg",
    "pydantic",
    "sqlalchemy",
}


def test_the_command_imports_nothing_heavy_before_it_knows_what_to_do() -> None:
    code = "import sys, services.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert HEAVY & set(loaded) == set()


def test_a_service_that_there_is_not_can_not_have_been_restored() -> None:
    command = (sys.executable, "-m", "services.cli", "restored", "boundary")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "must be one of" in done.stderr
