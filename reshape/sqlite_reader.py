"""A program of its own: the rows of a query on a SQLite database, as an Arrow stream to its output.

    python sqlite_reader.py DATABASE QUERY

It is a process of its own because Arrow's driver brings a SQLite of its own (`reshape.staging`).
The driver's `dbapi` would do, and takes three times as long to load.
"""

import sys
from urllib.parse import quote

import adbc_driver_sqlite
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcStatement

_BATCH_ROWS = 65_536
"""The first so many rows say what type a column has; another later on is an error."""


def main(database: str, query: str) -> None:
    with (
        adbc_driver_sqlite.connect(f"file:{quote(database)}?mode=ro") as opened,
        AdbcConnection(opened) as connection,
        AdbcStatement(connection) as statement,
    ):
        statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
        statement.set_sql_query(query)
        stream, _ = statement.execute_query()
        with (
            pa.RecordBatchReader._import_from_c(stream.address) as rows,
            pa.ipc.new_stream(sys.stdout.buffer, rows.schema) as writer,
        ):
            for batch in rows:
                writer.write_batch(batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
