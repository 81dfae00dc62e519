"""A program of its own: the rows of a query on a SQLite database, written to a file as Arrow.

    python sqlite_reader.py DATABASE QUERY FILE

It is a process of its own because Arrow's driver brings a SQLite of its own (`reshape.staging`).
"""

import sys
from urllib.parse import quote

import pyarrow as pa
from adbc_driver_sqlite import dbapi

_BATCH_ROWS = 65_536
"""The first so many rows say what type a column has; another later on is an error."""


def main(database: str, query: str, file: str) -> None:
    address = f"file:{quote(database)}?mode=ro"
    with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
        cursor.execute(query)
        rows = cursor.fetch_record_batch()
        with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
