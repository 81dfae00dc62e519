"""Reading many rows of SQLite at once: in processes of their own, without an object for each value.

See `reshape.staging` for why they are processes. Their rows are used while they read on.
"""

import fcntl
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import pyarrow as pa
from django.db.backends.base.base import BaseDatabaseWrapper

from .ahead import ahead
from .machine import available_cores

_PROGRAM = Path(__file__).with_name("sqlite_reader.py")

_PIPE_BYTES = 1024 * 1024
"""How much the process may write before it waits for this one."""
_ROW_NUMBERS = ("rowid", "oid", "_rowid_")
"""What SQLite calls a row's number (sqlite.org/lang_createtable.html#rowid)."""
WORTH_IT = 100_000
"""From so many rows on: the process takes a while to start."""


class ReadAgain(Exception):
    """Not all rows can be read so. Those given until now count for nothing: read `rows`."""

    def __init__(self, rows: pa.RecordBatchReader) -> None:
        super().__init__("the rows are read again, on the connection itself")
        self.rows = rows


class Unreadable(Exception):
    """The process ended early, or a column holds values of another type than its own."""


def can_read_apart(connection: BaseDatabaseWrapper, table: str) -> bool:
    """Whether the rows of a table, as they are committed, can be read so, and are many."""
    database = Path(str(connection.settings_dict["NAME"]))
    # A transaction around the load's own may have changed the rows.
    if connection.vendor != "sqlite" or connection.savepoint_ids or not database.is_file():
        return False
    with connection.cursor() as cursor:
        # No further than need be: counting a million rows takes as long as reading a tenth of them.
        cursor.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {WORTH_IT})")
        ((row_count,),) = cursor.fetchall()
    return bool(row_count >= WORTH_IT)


def read_apart(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[pa.DataType],
) -> Iterator[pa.RecordBatch]:
    """The rows of a table, as the database holds them. Raises `Unreadable`.

    `columns` are expressions; `types` say whether text, a float, bytes or, whatever else it is, an
    integer is expected there. Two processes read a half each, where there are cores for them.
    """
    # What the first rows hold says what type a column has, and they may all be null.
    first = [_example(each) for each in types]
    query = f"SELECT {', '.join(first)} UNION ALL SELECT {', '.join(columns)} FROM {table}"
    halves = _halves(connection, table) if available_cores() > 1 else [""]
    parts = deque(ahead(_read_part(connection, f"{query} {half}", first)) for half in halves)
    try:
        while parts:
            if (batch := next(parts[0], None)) is None:
                parts.popleft()
            else:
                yield batch
                parts.rotate(-1)
    finally:
        for part in parts:
            part.close()


def _halves(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    """Conditions that each hold for about half of the rows, and together for each of them once."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        names = {name.lower() for name, *_ in cursor.description}
        # A column of this name would be meant.
        row = next((name for name in _ROW_NUMBERS if name not in names), None)
        if row is None:
            return [""]
        cursor.execute(f"SELECT (min({row}) + max({row})) / 2 FROM {table}")
        ((middle,),) = cursor.fetchall()
    return [""] if middle is None else [f"WHERE {row} <= {middle}", f"WHERE {row} > {middle}"]


def _read_part(
    connection: BaseDatabaseWrapper, query: str, first: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    database = str(connection.settings_dict["NAME"])
    command = [sys.executable, str(_PROGRAM), database, query]
    is_example = True
    with TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout
        # Not every system has it, or grants so much.
        with suppress(AttributeError, OSError):
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            for batch in _batches(process.stdout):
                if [_example(each) for each in batch.schema.types] != first:
                    raise Unreadable(f"the columns are {', '.join(map(str, batch.schema.types))}")
                try:
                    batch.validate(full=True)
                except pa.ArrowInvalid as error:
                    raise Unreadable(str(error)) from error  # text that is not UTF-8
                yield batch.slice(1) if is_example else batch
                is_example = False
            # Whatever it would still say is not waited for.
            process.stdout.close()
            process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # again, where the loop was left early
        if process.returncode != 0:
            said.seek(0)
            raise Unreadable(said.read()[-500:].decode(errors="replace"))


def _batches(stream: object) -> Iterator[pa.RecordBatch]:
    """What the process wrote; it ends early where the process did."""
    try:
        yield from pa.ipc.open_stream(stream)
    except (pa.ArrowInvalid, OSError):
        return  # cut off: how the process ended says that


def _example(arrow: pa.DataType) -> str:
    if pa.types.is_string(arrow):
        return "''"
    if pa.types.is_floating(arrow):
        return "0.0"
    return "x'00'" if pa.types.is_binary(arrow) else "0"
