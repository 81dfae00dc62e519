"""The schema of the shipped sources is what `tests/api/schema.graphql` says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from graphql import build_schema, parse, validate

ROOT = Path(__file__).resolve().parent.parent.parent
SNAPSHOT = Path(__file__).with_name("schema.graphql")


def test_the_schema_is_as_committed(tmp_path):
    printed = print_schema(tmp_path)

    assert printed == SNAPSHOT.read_text(), (
        "The GraphQL schema changed. If it should have, renew the snapshot and read its diff: "
        "python manage.py schema > tests/api/schema.graphql"
    )


def test_the_snapshot_is_a_schema():
    query = build_schema(SNAPSHOT.read_text()).query_type

    assert query is not None
    assert {"quakes", "quake", "quakesCount", "quakesDaily", "feeds", "runs"} <= set(query.fields)


def print_schema(home):
    """What `manage.py schema` prints with the shipped settings, on an empty home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROOTCELLAR_", "DJANGO_"))
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "schema"],
        cwd=ROOT,
        env=kept | {"ROOTCELLAR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_the_questions_in_the_docs_can_be_asked():
    schema = build_schema(SNAPSHOT.read_text())
    page = (ROOT / "docs" / "graphql.md").read_text()
    questions = re.findall(r"```graphql\n(.*?)```", page, re.S)
    questions += re.findall(r"\"query\": \"(.*?)\"}'", page)

    mistakes = [error for question in questions for error in validate(schema, parse(question))]

    assert len(questions) >= 3
    assert mistakes == []
