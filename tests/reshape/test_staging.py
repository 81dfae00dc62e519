"""Staged rows, and rows read apart: in the transaction, whole, and no file is left behind."""

import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from django.db import OperationalError, connection, transaction

from reshape import reading_apart, staging
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


def test_a_column_whose_first_values_are_all_null_is_read_whole(two_ways):
    rows: list[dict[str, object]] = [{"code": f"{number:05}"} for number in range(70_000)]
    rows[-1] |= {"raw": b"last", "share": 0.5, "uid": "00000000-0000-0000-0000-000000000007"}
    upsert_rows(connection, Everything, as_arrow(*rows), row_count=len(rows))

    assert {name: read()["69999"][name] for name in ("raw", "share", "uid")} == {
        name: rows[-1][name] for name in ("raw", "share", "uid")
    }


def test_a_value_that_its_column_does_not_hold_is_told_of(two_ways):
    upsert_rows(connection, Everything, many(10), row_count=10)
    with connection.cursor() as cursor:
        # SQLite keeps whatever it is given.
        cursor.execute("UPDATE nowhere_everything SET share = 'much' WHERE code = '00003'")
        cursor.execute("UPDATE nowhere_everything SET share = 0.5 WHERE code = '00004'")

    with pytest.raises(pa.ArrowInvalid):
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
