"""Staging: many rows for SQLite at once, without an object for each value.

Arrow's own driver writes them to files beside, in a thread; Django's connection attaches each, and
SQLite copies its rows within the transaction at hand while the next is written. It takes half as
long as parameters.

That driver brings a SQLite of its own, and two of them in one process must never have the same
file open (sqlite.org/howtocorrupt.html, section 2.2.1). So it has closed a file before the other
opens it, and it never sees the database itself.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
from django.conf import settings
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from .ahead import ahead

ROWS = "rows"
"""The table in a file."""
WORTH_IT = 20_000
"""From so many rows on."""
_SHARES = (0.05, 0.2, 0.25, 0.25, 0.25)
"""How much of the rows is in each file. The first is small: SQLite waits for it."""
_PREFIX = "staged_"
_ABANDONED_S = 3_600
_SETTINGS = ("page_size = 65536", "journal_mode = OFF", "synchronous = OFF")


def can_stage(connection: BaseDatabaseWrapper) -> bool:
    """Whether rows can be staged for this connection now."""
    if connection.vendor != "sqlite":
        return False
    connection.ensure_connection()
    most = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED)
    return bool(len(_attached(connection)) + len(_SHARES) <= most)


def staged(
    connection: BaseDatabaseWrapper, rows: pa.RecordBatchReader, row_count: int
) -> Iterator[str]:
    """Give tables that hold the rows, some in each, to be selected from before the next is asked.

    The columns are of types that SQLite stores as they are; `row_count` is how many rows there are,
    about. `release` lets go of the tables. Raises `OperationalError` where one cannot be written.
    """
    parts = _cut(rows, [max(1, int(row_count * share)) for share in _SHARES])
    with ThreadPoolExecutor(1, "stage") as thread:
        writing = thread.submit(_write_next, parts)
        try:
            while path := writing.result():
                name = f"{_PREFIX}{path.stem}"
                with connection.cursor() as cursor:
                    address = f"file:{quote(str(path))}?mode=ro&immutable=1"
                    cursor.execute(f"ATTACH DATABASE %s AS {name}", [address])
                    cursor.execute(f"SELECT 1 FROM {name}.{ROWS} LIMIT 1")
                # It is open, and nothing opens it again.
                path.unlink()
                writing = thread.submit(_write_next, parts)
                yield f"{name}.{ROWS}"
        finally:
            with suppress(OperationalError):
                if left := writing.result():
                    left.unlink(missing_ok=True)


def release(connection: BaseDatabaseWrapper) -> None:
    """Let go of what was staged, after the transaction that needed it."""
    if connection.vendor != "sqlite" or connection.connection is None:
        return
    # A transaction around this one holds them on.
    for name in () if connection.in_atomic_block else _attached(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"DETACH DATABASE {name}")


def new_path(suffix: str) -> Path:
    """Where a file can be written that is gone before the load ends. Sweeps."""
    sweep()
    _folder().mkdir(parents=True, exist_ok=True)
    return _folder() / f"{uuid4().hex}.{suffix}"


def sweep(older_than_seconds: float = _ABANDONED_S) -> None:
    """Remove what killed processes left."""
    for path in _folder().glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime >= older_than_seconds:
                path.unlink()


def _folder() -> Path:
    return Path(settings.WAREHOUSE_DIR) / "staged"


def _cut(rows: pa.RecordBatchReader, sizes: Sequence[int]) -> Iterator[pa.RecordBatchReader]:
    """The rows in readers of about so many; the last has what is left. Each is read in turn."""
    batches = ahead(iter(rows))
    for part, size in enumerate(sizes, start=1):
        first = next(batches, None)
        if first is None:
            return
        of_part = chain([first], _taken(batches, size - first.num_rows))
        if part == len(sizes):
            of_part = chain([first], batches)
        yield pa.RecordBatchReader.from_batches(rows.schema, of_part)


def _taken(batches: Iterator[pa.RecordBatch], row_count: int) -> Iterator[pa.RecordBatch]:
    while row_count > 0 and (batch := next(batches, None)) is not None:
        row_count -= batch.num_rows
        yield batch


def _write_next(parts: Iterator[pa.RecordBatchReader]) -> Path | None:
    """Write the next part to a file of its own; None where there is none."""
    # Not above: what loads few rows starts without it. And not its `dbapi`, which takes Ctrl-C away
    # from a process that waits.
    import adbc_driver_sqlite
    from adbc_driver_manager import AdbcConnection, AdbcStatement, Error

    rows = next(parts, None)
    if rows is None:
        return None
    path = new_path("sqlite3")
    try:
        with (
            adbc_driver_sqlite.connect(str(path)) as database,
            AdbcConnection(database) as driver,
            AdbcStatement(driver) as statement,
        ):
            for setting in _SETTINGS:
                statement.set_sql_query(f"PRAGMA {setting}")
                statement.execute_query()
            statement.set_options(**{"adbc.ingest.target_table": ROWS})
            statement.bind_stream(rows)
            statement.execute_update()
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, Error):
            raise OperationalError(f"Rows could not be staged in {path.parent}: {error}") from error
        raise
    return path


def _attached(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        return [name for _, name, _ in cursor.fetchall() if name.startswith(_PREFIX)]
