"""Rows in a file of their own: with their lineage, whole or not at all."""

import json
import signal
import subprocess
import sys
import textwrap

import duckdb
import pytest
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from reshape.into import write_into
from reshape.replay import derive
from tests.making import at, make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    archive = Archive()
    bodies = [
        {"authors": [{"code": "a", "name": "Ann"}]},
        {
            "authors": [{"code": "a", "name": "Anna"}],
            "books": [{"code": "x", "title": "X", "author_id": "nobody"}],
        },
        b"{",
    ]
    archive.append_all(
        "sample.pages",
        [make_payload("sample.pages", body, minute=minute) for minute, body in enumerate(bodies)],
    )
    return archive


def asked(file, query):
    with duckdb.connect(file, read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_file_holds_rows_lineage_quarantine_held_rows_and_what_it_was_made_of(archive, home):
    file = home / "all.duckdb"

    call_command("replay", "sample", "--into", str(file), verbosity=0)

    assert asked(
        file,
        "SELECT name, url, status FROM sample_author JOIN fetches USING (fetch_id)",
    ) == [("Anna", "http://library.example/", 200)]
    assert asked(file, "SELECT error FROM reshape_quarantineentry") == [("BodyUnreadable",)]
    assert asked(file, "SELECT model, target FROM reshape_heldrow") == [("sample.Book", "nobody")]
    assert asked(file, "SELECT count(*) FROM fetches") == [(2,)]
    assert len(asked(file, "SELECT transform FROM replays WHERE as_of IS NULL")) == 3
    assert Author.objects.count() == 0
    assert [path.name for path in home.glob("*all.duckdb*")] == ["all.duckdb"]


def test_file_as_of_then_says_when_and_holds_what_was_known(archive, home):
    file = home / "then.duckdb"

    call_command(
        "replay", "sample", "--as-of", "2026-01-01T00:00:30", "--into", str(file), "--json"
    )

    assert asked(file, "SELECT name FROM sample_author") == [("Ann",)]
    assert asked(file, "SELECT DISTINCT epoch(as_of) FROM replays") == [(at(0.5).timestamp(),)]


@pytest.mark.parametrize("day", ["2026-01-01", "20260101", "2026-W01-4"])
def test_a_date_means_its_end_however_it_is_written(archive, home, day):
    file = home / "day.duckdb"

    call_command("replay", "sample", "--as-of", day, "--into", str(file), "--json")

    assert asked(file, "SELECT DISTINCT as_of::TIMESTAMP::VARCHAR FROM replays") == [
        ("2026-01-01 23:59:59.999999",)
    ]


def test_several_sources_share_a_file(archive, home, capsys):
    file = home / "both.duckdb"

    call_command("replay", "quakes", "sample", "--into", str(file), "--json", verbosity=0)

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["source"] for each in told] == ["quakes", "sample"]
    assert told[1]["rows"]["sample_author"] == 1
    assert asked(file, "SELECT count(*) FROM quakes_quake") == [(0,)]
    assert asked(file, "SELECT count(*) FROM reshape_heldrow") == [(1,)]


def test_file_that_is_there_is_left_alone(archive, home):
    file = home / "mine.duckdb"
    file.write_text("mine")

    with pytest.raises(CommandError, match=r"mine\.duckdb exists already"):
        call_command("replay", "sample", "--into", str(file), verbosity=0)

    assert file.read_text() == "mine"


def test_file_that_cannot_be_written_is_named(archive, home):
    file = home / f"{'x' * 240}.duckdb"

    with pytest.raises(CommandError, match=r"cannot be written: File name too long"):
        call_command("replay", "sample", "--into", str(file), verbosity=0)


def test_failure_half_way_leaves_nothing(archive, home):
    def derivations():
        yield derive("sample", archive)
        raise RuntimeError("the second source failed")

    with pytest.raises(RuntimeError):
        write_into(home / "half.duckdb", derivations(), archive)

    assert list(home.glob("*half*")) == []


def test_killed_process_leaves_no_file(tmp_path):
    killed = """
        import os, signal
        from django.conf import settings
        settings.configure(ROOTCELLAR_HOME={home!r})
        from pathlib import Path
        from reshape.files import new_duckdb
        with new_duckdb(Path({home!r}) / "half.duckdb") as connection:
            connection.execute("CREATE TABLE t AS SELECT unnest(range(100000))")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    script = textwrap.dedent(killed).format(home=str(tmp_path))

    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "half.duckdb").exists()


def test_time_that_is_none_is_named(archive):
    with pytest.raises(CommandError, match="'yesterday' is no time; write it as 2026-01-31"):
        call_command("replay", "sample", "--as-of", "yesterday")
