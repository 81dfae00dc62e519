"""Reading many rows of SQLite at once: in a process of its own, without an object for each value.

See `reshape.staging` for why it is a process of its own. Its rows are used while it reads on.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import pyarrow as pa
from django.db.backends.base.base import BaseDatabaseWrapper

_PROGRAM = Path(__file__).with_name("sqlite_reader.py")

_PIPE_BYTES = 1024 * 1024
"""How much the process may write before it waits for this one."""
WORTH_IT = 100_000
"""From so many rows on: the process takes a while to start."""


class ReadAgain(Exception):
    """Not all rows can be read so. Those given until now count for nothing: read `rows`."""

    def __init__(self, rows: pa.RecordBatchReader) -> None:
        super().__init__("the rows are read again, on the connection itself")
        self.rows = rows


class Unreadable(Exception):
    """The process gave up: a column holds values of more types than one."""


def can_read_apart(connection: BaseDatabaseWrapper, table: str) -> bool:
    """Whether the rows of a table, as they are committed, can be read so, and are many."""
    database = Path(str(connection.settings_dict["NAME"]))
    # A transaction around the load's own may have changed the rows.
    if connection.vendor != "sqlite" or connection.savepoint_ids or not database.is_file():
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        ((row_count,),) = cursor.fetchall()
    return bool(row_count >= WORTH_IT)


def read_apart(
    connection: BaseDatabaseWrapper, query: str, types: Sequence[pa.DataType]
) -> Iterator[pa.RecordBatch]:
    """The rows of a query, as the database holds them. Raises `Unreadable`.

    `types` are those of its columns: whether text, a float, bytes or, whatever else it is, an
    integer is expected there.
    """
    # What the first rows hold says what type a column has, and they may all be null.
    first = ", ".join(_example(each) for each in types)
    database = str(connection.settings_dict["NAME"])
    command = [sys.executable, str(_PROGRAM), database, f"SELECT {first} UNION ALL {query}"]
    is_example = True
    with TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            pipesize=_PIPE_BYTES,
        )
        assert process.stdout
        try:
            for batch in _batches(process.stdout):
                yield batch.slice(1) if is_example else batch
                is_example = False
            process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
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
