"""Staged rows, and rows read apart: in the transaction, whole, and no file is left behind."""

import os
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from django.db import OperationalError, connection, transaction

from reshape import reading_apart, staging
from reshape.difference import Comparison, live_rows
from reshape.errors import TableMistyped
from reshape.sql import duck
from reshape.tables import read_table, upsert_rows

from .everything import Everything, as_arrow, created, read


@pytest.fixture
def two_ways(transactional_db, home, monkeypatch):
    monkeypatch.setattr(staging, "WORTH_IT", 0)
    monkeypatch.setattr(reading_apart, "WORTH_IT", 1)
    with created():
        yield


def many(count):
    return as_arrow(*({"code": f"{number:05}", "number": number} for number in range(count)))


def staged_files(home):
    return list((home / "warehouse" / "staged").iterdir())


def test_staged_rows_are_in_the_transaction_and_leave_no_file(two_ways, home):
    with transaction.atomic():
        upsert_rows(connection, Everything, many(5_000), row_count=5_000)
        assert len(read()) == 5_000
        transaction.set_rollback(True)
    staging.release(connection)

    assert read() == {}
    assert staged_files(home) == []


def test_more_loads_than_sqlite_attaches_databases_go_in_one_transaction(two_ways):
    with transaction.atomic():
        for start in range(12):
            rows = as_arrow(*({"code": f"{start}-{number}"} for number in range(100)))
            upsert_rows(connection, Everything, rows, row_count=100)
    staging.release(connection)

    assert len(read()) == 1_200
    assert not staging._attached(connection)


def test_rows_that_cannot_be_staged_are_a_database_error_and_nothing_is_left(
    two_ways, home, monkeypatch
):
    monkeypatch.setattr(staging, "_SETTINGS", ("max_page_count = 1",))

    with pytest.raises(OperationalError, match="could not be staged"), transaction.atomic():
        upsert_rows(connection, Everything, many(5_000), row_count=5_000)

    assert staged_files(home) == []


def test_what_a_killed_process_left_is_removed(two_ways, home):
    left = staging.new_path("sqlite3")
    left.write_bytes(b"rows")
    os.utime(left, (0, 0))

    upsert_rows(connection, Everything, many(10), row_count=10)

    assert staged_files(home) == []


def test_a_column_whose_first_values_are_all_null_is_read_whole(two_ways, caplog):
    caplog.set_level("INFO")
    rows: list[dict[str, object]] = [{"code": f"{number:05}"} for number in range(70_000)]
    rows[-1] |= {"raw": b"last", "share": 0.5, "uid": "00000000-0000-0000-0000-000000000007"}
    upsert_rows(connection, Everything, as_arrow(*rows), row_count=len(rows))

    assert {name: read()["69999"][name] for name in ("raw", "share", "uid")} == {
        name: rows[-1][name] for name in ("raw", "share", "uid")
    }
    assert "is read on the connection" not in caplog.text


@pytest.mark.parametrize("cores", [1, 2])
def test_each_row_is_read_once_by_however_many_processes(two_ways, monkeypatch, cores):
    monkeypatch.setattr(reading_apart, "available_cores", lambda: cores)
    upsert_rows(connection, Everything, many(1_000), row_count=1_000)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM nowhere_everything WHERE number BETWEEN 100 AND 899")
    table = read_table(connection, Everything, is_committed=True).read_all()

    assert sorted(table["number"].to_pylist()) == [*range(100), *range(900, 1_000)]


@pytest.mark.parametrize(("least", "is_many"), [(10, True), (11, False)])
def test_only_a_table_of_many_rows_is_read_apart(two_ways, monkeypatch, least, is_many):
    upsert_rows(connection, Everything, many(10), row_count=10)
    monkeypatch.setattr(reading_apart, "WORTH_IT", least)

    assert reading_apart.can_read_apart(connection, "nowhere_everything") == is_many


def test_a_column_named_like_the_number_of_a_row_is_not_taken_for_it(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE named (rowid TEXT, OID TEXT)")
        cursor.execute("INSERT INTO named VALUES ('x', 'y'), ('x', 'y'), ('x', 'y')")
        cursor.execute("CREATE TEMP TABLE all_named (rowid TEXT, oid TEXT, _rowid_ TEXT)")

    assert reading_apart._halves(connection, "named") == [
        "WHERE _rowid_ <= 2",
        "WHERE _rowid_ > 2",
    ]
    assert reading_apart._halves(connection, "all_named") == [""]


def compared_with(rows, tmp_path):
    """The difference between the table and these rows."""
    path = tmp_path / "wanted.parquet"
    pq.write_table(rows.read_all(), path)
    with duck() as duckdb:
        live = live_rows(connection, Everything, "nowhere")
        return Comparison(duckdb, Everything, path, live).difference


def test_rows_that_cannot_all_be_read_apart_are_read_again_and_counted_once(
    two_ways, tmp_path, caplog
):
    caplog.set_level("INFO")
    upsert_rows(connection, Everything, many(70_000), row_count=70_000)
    with connection.cursor() as cursor:
        # Beyond the first batch, text where the rows before have an integer or nothing.
        cursor.execute("UPDATE nowhere_everything SET flag = 'yes' WHERE code = '69999'")

    difference = compared_with(many(70_001), tmp_path)

    assert (difference.added, difference.changed, difference.removed) == (1, 1, 0)
    assert "nowhere_everything is read on the connection" in caplog.text


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_reader_that_dies_half_way_is_no_end_of_the_rows(
    two_ways, tmp_path, monkeypatch, caplog, end
):
    caplog.set_level("INFO")
    upsert_rows(connection, Everything, many(1_000), row_count=1_000)
    dying = tmp_path / "dying.py"
    dying.write_text(
        "import os, sys, types\n"
        f"sys.path.insert(0, {str(reading_apart._PROGRAM.parent)!r})\n"
        "import sqlite_reader\n"
        "sqlite_reader._BATCH_ROWS = 100\n"
        "out = sys.stdout.buffer\n"
        "class Half:\n"
        "    closed, count = False, 0\n"
        "    def write(self, data):\n"
        "        Half.count += 1\n"
        "        if Half.count > 60:\n"
        f"            out.flush(); {end}\n"
        "        return out.write(data)\n"
        "    def flush(self): out.flush()\n"
        "sys.stdout = types.SimpleNamespace(buffer=Half())\n"
        "sqlite_reader.main(*sys.argv[1:])\n"
    )
    monkeypatch.setattr(reading_apart, "_PROGRAM", dying)

    difference = compared_with(many(1_001), tmp_path)

    assert (difference.added, difference.total) == (1, 1)
    assert "nowhere_everything is read on the connection" in caplog.text


def test_a_value_that_its_column_does_not_hold_is_told_of(two_ways):
    upsert_rows(connection, Everything, many(10), row_count=10)
    with connection.cursor() as cursor:
        # SQLite keeps whatever it is given.
        cursor.execute("UPDATE nowhere_everything SET share = 'much' WHERE code = '00003'")
        cursor.execute("UPDATE nowhere_everything SET share = 0.5 WHERE code = '00004'")

    with pytest.raises(TableMistyped, match=r"Everything\.share='much' where code='00003'"):
        read()


def test_rows_that_a_transaction_around_wrote_are_read(two_ways):
    with transaction.atomic():
        upsert_rows(connection, Everything, many(10), row_count=10)
        with transaction.atomic():
            rows = read_table(connection, Everything, is_committed=True).read_all()

    assert rows.num_rows == 10


WAITING = """
import threading
from concurrent.futures import ThreadPoolExecutor
import django
django.setup()
import pyarrow as pa
from reshape import reading_apart, staging
rows = pa.table({"number": list(range(1000))}).to_reader()
with ThreadPoolExecutor(1) as thread:
    thread.submit(staging._write_next, iter([rows])).result().unlink()
print("waiting", flush=True)
threading.Event().wait()
"""


def test_a_process_that_has_staged_rows_still_hears_ctrl_c(tmp_path):
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.crash.settings"}
        | {"ROOTCELLAR_TEST_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert waiting.stdout
    said = waiting.stdout.readline()

    waiting.send_signal(signal.SIGINT)
    try:
        waiting.wait(10)
    finally:
        waiting.kill()
        waiting.communicate()

    assert said == "waiting\n"
    assert waiting.returncode == -signal.SIGINT
