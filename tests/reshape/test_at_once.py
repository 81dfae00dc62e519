"""Two replays at once end in the rows of one."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = 60
ROWS = 300


def manage(home, *arguments):
    environment = {**os.environ, "ROOTCELLAR_HOME": str(home), "ROOTCELLAR_APPS": "tests.sample"}
    environment |= {"DJANGO_SETTINGS_MODULE": "etl.settings"}
    environment.pop("DATABASE_URL", None)
    return subprocess.Popen(
        [sys.executable, "manage.py", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with sixty versions of three hundred authors, and nothing derived."""
    home = tmp_path_factory.mktemp("home")
    log = home / "snapshots.jsonl"
    with log.open("wb") as file:
        for number in range(SNAPSHOTS):
            authors = [
                {"code": f"a{row}", "name": f"name {number % 7} of {row}"} for row in range(ROWS)
            ]
            snapshot = {
                "url": "http://library.example/loans",
                "method": "GET",
                "request_body": None,
                "fetched_at": f"2026-01-01T00:{number:02}:00Z",
                "body": orjson.dumps({"authors": authors}).decode(),
            }
            file.write(orjson.dumps(snapshot) + b"\n")
    finish(manage(home, "migrate", "-v0"))
    finish(manage(home, "archive", "import", "sample.loans", log))
    return home


def rows(home):
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return database.execute("SELECT * FROM sample_author ORDER BY code").fetchall()


def test_two_replays_at_once_end_as_one(home):
    both = [manage(home, "replay", "sample"), manage(home, "replay", "sample")]

    for process in both:
        finish(process)

    assert len(rows(home)) == ROWS


WRITE_AND_LOOK = """
import sqlite3, sys
import django
import pyarrow as pa
django.setup()
from django.db import connection, transaction
from reshape.columns import columns_of
from reshape.tables import upsert_rows
from tests.sample.models import Author

def names():
    with sqlite3.connect(connection.settings_dict["NAME"], timeout=0) as reader:
        return [name for (name,) in reader.execute("SELECT name FROM sample_author")]

def rows(name):
    row = {"code": "a", "name": name, "fetch_id": "018f0000-0000-7000-8000-000000000000"}
    return pa.Table.from_pylist([row], schema=columns_of(Author).schema).to_reader()

with transaction.atomic():
    upsert_rows(connection, Author, rows("before"))
seen = []
with transaction.atomic():
    upsert_rows(connection, Author, rows("after"), advance=lambda count: seen.append(names()))
print(seen, names())
"""


def test_readers_go_on_and_see_the_old_rows_until_a_load_commits(tmp_path):
    finish(manage(tmp_path, "migrate", "-v0"))

    found = finish(manage(tmp_path, "shell", "--no-imports", "-v0", "-c", WRITE_AND_LOOK))

    assert found.split("\n")[-2] == "[['before']] ['after']"
