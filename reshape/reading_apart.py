"""Reading many rows of SQLite at once: in a process of its own, without an object for each value.

See `reshape.staging` for why it is a process of its own.
"""

import logging
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from django.db.backends.base.base import BaseDatabaseWrapper

from . import staging

_PROGRAM = Path(__file__).with_name("sqlite_reader.py")
logger = logging.getLogger(__name__)

WORTH_IT = 100_000
"""From so many rows on: the process takes a while to start."""


def read_apart(
    connection: BaseDatabaseWrapper, table: str, query: str
) -> pa.RecordBatchReader | None:
    """The rows of a query on a table, as the database holds them; None where they must be read on
    the connection itself: few, or not committed, or of more types in a column than one."""
    database = Path(str(connection.settings_dict["NAME"]))
    # A transaction around the load's own may have changed the rows.
    if connection.vendor != "sqlite" or connection.savepoint_ids or not database.is_file():
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        ((row_count,),) = cursor.fetchall()
    if row_count < WORTH_IT:
        return None
    path = staging.new_path("arrow")
    command = [sys.executable, str(_PROGRAM), str(database), query, str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            logger.info("table %s is read on the connection: %s", table, done.stderr[-500:])
            return None
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
        except FileNotFoundError:
            return None  # an erasure swept it away
    finally:
        # What is open can be read on.
        path.unlink(missing_ok=True)
    return pa.RecordBatchReader.from_batches(
        file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    )
