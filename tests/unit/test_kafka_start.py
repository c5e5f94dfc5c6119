"""deploy/kafka/start.sh: what whoever lists a machine's processes sees of it."""

import os
import subprocess
from pathlib import Path

from tests.support.tree import ROOT

WORD = 'name=admin,iterations=8192,salt="c2FsdA==",saltedpassword="c2FsdGVk"'
JAVA = """#!/bin/bash
printf '%s\\n' "$@" >> "$SEEN"
for word in "$@"; do [[ $word != @* ]] || cat "${word#@}" >> "$READ"; done
"""


def test_the_administrators_password_stands_in_no_processs_arguments(tmp_path: Path) -> None:
    java = tmp_path / "bin/java"
    java.parent.mkdir()
    java.write_text(JAVA)
    java.chmod(0o755)
    seen, read, scratch = (tmp_path / name for name in ("seen", "read", "scratch"))
    scratch.mkdir()
    environment = {
        "PATH": f"{java.parent}:{os.environ['PATH']}",
        "TMPDIR": str(scratch),
        "SEEN": str(seen),
        "READ": str(read),
        "KAFKA_ID": "1",
        "KAFKA_BROKERS": "1",
        "KAFKA_HOSTS": "kafka-1",
        "KAFKA_DIRECTORY_IDS": "d1",
        "KAFKA_DATA": str(tmp_path),
        "KAFKA_CLUSTER_ID": "c1",
        "KAFKA_ADMINISTRATOR": WORD,
        **dict.fromkeys(("KAFKA_KEY", "KAFKA_CERTIFICATES", "KAFKA_AUTHORITY"), "pem"),
    }
    subprocess.run([ROOT / "deploy/kafka/start.sh"], env=environment, check=True)
    assert "kafka.Kafka" in seen.read_text(), "the broker was started"
    assert WORD not in seen.read_text()
    assert f"'SCRAM-SHA-512=[{WORD}]'" in read.read_text(), "the formatting was told"
    left = [path for path in scratch.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["server.properties"]
    assert WORD not in left[0].read_text()
