"""Erasing, the whole walk: nothing of what was erased is in any file, and the rest is as it was.

The programs run as processes on homes of their own, for they are killed, and their database is a
file.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.erase_child import CANARY, HEADER_CANARY, OTHER_URL, SECRET_URL

ROOT = Path(__file__).resolve().parent.parent
CANARIES = [CANARY, HEADER_CANARY, SECRET_URL, "canary-in-url"]


def run(home, *arguments, expected=0):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_APPS": "tests.sample",
            "ROOTCELLAR_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def child(home, *arguments):
    return json.loads(run(home, "-m", "tests.erase_child", *arguments))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    home = tmp_path_factory.mktemp("filled") / "home"
    child(home, "fill")
    return home


@pytest.fixture
def home(filled, tmp_path):
    return Path(shutil.copytree(filled, tmp_path / "home"))


@pytest.fixture(scope="module")
def erased(filled, tmp_path_factory):
    """A home in which the address was erased, what the command said, and what is left."""
    home = tmp_path_factory.mktemp("erased") / "home"
    shutil.copytree(filled, home)
    staged = home / "warehouse" / "staged" / "killed.sqlite3"
    staged.parent.mkdir()
    staged.write_text(CANARY)  # as a load that was killed leaves it
    before = child(home, "left")
    said = run(home, "manage.py", "archive", "erase", "--url", SECRET_URL, "--yes")
    return home, said, before, child(home, "left")


def test_the_canaries_are_where_they_are_looked_for(filled):
    found = traces(filled)

    assert {name for name, _ in found} >= {"archive", "records", "warehouse", "db.sqlite3"}
    assert {canary for _, canary in found} == set(CANARIES)


def test_nothing_of_an_erased_address_is_in_any_file(erased):
    home, said, _, _ = erased

    assert "nothing is left" in said
    assert traces(home) == set()


def test_the_neighbours_of_what_was_erased_are_as_they_were(erased):
    _, _, before, after = erased

    assert after["fetches"] == [row for row in before["fetches"] if row[1] == OTHER_URL]
    assert after["problems"] == []
    assert after["latest"] == [OTHER_URL]


def test_rows_derived_from_what_was_erased_are_gone_and_rollups_follow(erased):
    home, _, before, after = erased

    assert any(CANARY in row for row in before["rows"]["Author"])
    assert [len(rows) for rows in after["rows"].values()] == [1, 1, 5]
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        totals = database.execute("SELECT author_id, book_count FROM sample_author_totals")
        assert totals.fetchall() == [("bob", 1)]


def test_the_log_says_that_fetches_were_erased_and_not_which(erased):
    home, _, _, _ = erased

    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        rows = database.execute("SELECT state, fetch_count, asked_by FROM raw_store_erasure")
        assert rows.fetchall() == [("done", 10, "url")]


def test_the_archive_alone_does_not_bring_it_back(erased, tmp_path):
    home, _, _, after = erased
    fresh = tmp_path / "home"
    fresh.mkdir()
    shutil.copytree(home / "archive", fresh / "archive")

    assert child(fresh, "restore") == after


@pytest.mark.parametrize("point", ["begun", "first segment", "renewed", "searched"])
def test_an_erasure_that_is_killed_is_finished_by_the_next(point, home, erased):
    _, _, _, after = erased
    run(home, "-m", "tests.erase_child", "killed", point, expected=-signal.SIGKILL)

    left = child(home, "finish")

    assert [row[1:3] for row in left["fetches"]] == [row[1:3] for row in after["fetches"]]
    assert {name: left[name] for name in ("problems", "latest", "rows")} == {
        name: after[name] for name in ("problems", "latest", "rows")
    }
    assert traces(home) == set()


def test_what_a_diff_parses_meanwhile_is_erased_too(home):
    said = child(home, "beside")

    assert said == {"waits": [True]}
    assert traces(home) == set()


def traces(home: Path) -> set[tuple[str, str]]:
    """The canaries that are in a file below a home, raw or decoded, with the folder it is in."""
    found = set()
    for path in home.rglob("*"):
        if not path.is_file():
            continue
        held = path.read_bytes()
        texts = [held]
        if held[:4] == b"PAR1":
            texts.append(repr(pq.read_table(path, partitioning=None).to_pylist()).encode())
            texts.append(repr(pq.read_metadata(path).metadata).encode())
        elif held[8:12] == b"DUCK":
            with duckdb.connect(str(path), read_only=True) as build:
                texts += [
                    repr(
                        build.execute(
                            f'SELECT COLUMNS(*)::VARCHAR FROM "{schema}"."{name}"'
                        ).fetchall()
                    ).encode()
                    for schema, name in build.execute(
                        "SELECT schema_name, table_name FROM duckdb_tables()"
                    ).fetchall()
                ]
        for canary in CANARIES:
            if any(canary.encode() in text for text in texts):
                found.add((path.relative_to(home).parts[0], canary))
    return found
