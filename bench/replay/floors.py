"""What a programmer writes by hand for these very payloads: read, parse, upsert. Nothing else.

No lineage, no quarantine, no held rows, no check of types, no difference to report; a second
load reads and parses everything again.
"""

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

COLUMNS = ("code", "lat", "lon", "acres", "crews", "engines", "name", "updated")
GIVEN = ("id", *COLUMNS[1:])
_TYPES = ("TEXT PRIMARY KEY", "REAL", "REAL", "REAL", "INTEGER", "INTEGER", "TEXT", "TEXT")
_POSTGRESQL_TYPES = (
    "varchar(40) PRIMARY KEY",
    "double precision",
    "double precision",
    "double precision",
    "integer",
    "integer",
    "varchar(80)",
    "timestamptz",
)
_OTHERS = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
_HELD = ", ".join(f"fires.{name}" for name in COLUMNS[1:])
_NEW = ", ".join(f"excluded.{name}" for name in COLUMNS[1:])
_CONFLICT = f"ON CONFLICT (code) DO UPDATE SET {_OTHERS} WHERE ({_HELD}) IS DISTINCT FROM ({_NEW})"

Row = tuple[Any, ...]


def groups(path: Path) -> Iterator[list[bytes]]:
    """The bodies of each row group."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield file.read_row_group(group, columns=["body"])["body"].to_pylist()


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Every record as JSON gives it."""
    for bodies in groups(path):
        for body in bodies:
            yield from orjson.loads(body)["records"]


def _rows(bodies: list[bytes]) -> list[Row]:
    return [
        (r["id"], r["lat"], r["lon"], r["acres"], r["crews"], r["engines"], r["name"], r["updated"])
        for body in bodies
        for r in orjson.loads(body)["records"]
    ]


class Sqlite:
    """A table of its own in one SQLite file; a transaction for each 500 payloads."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536"):
            self._connection.execute(f"PRAGMA {pragma}")
        columns = ", ".join(f"{n} {t}" for n, t in zip(COLUMNS, _TYPES, strict=True))
        self._connection.execute(f"CREATE TABLE fires ({columns})")

    def load(self, path: Path) -> None:
        upsert = f"INSERT INTO fires VALUES ({', '.join('?' * len(COLUMNS))}) {_CONFLICT}"
        for bodies in groups(path):
            self._connection.execute("BEGIN")
            self._connection.executemany(upsert, _rows(bodies))
            self._connection.execute("COMMIT")

    def count(self) -> int:
        ((count,),) = self._connection.execute("SELECT count(*) FROM fires").fetchall()
        return int(count)


class Postgresql:
    """A table of its own; COPY into a temporary table, then one merge, in one transaction."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url)
        columns = ", ".join(f"{n} {t}" for n, t in zip(COLUMNS, _POSTGRESQL_TYPES, strict=True))
        self._connection.execute("DROP TABLE IF EXISTS fires")
        self._connection.execute(f"CREATE TABLE fires ({columns})")
        self._connection.commit()

    def load(self, path: Path) -> None:
        names = ", ".join(COLUMNS)
        types = [kind.partition("(")[0].partition(" PRIMARY")[0] for kind in _POSTGRESQL_TYPES]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE staged (LIKE fires) ON COMMIT DROP")
            with cursor.copy(f"COPY staged ({names}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for bodies in groups(path):
                    for row in _rows(bodies):
                        copy.write_row((*row[:-1], datetime.fromisoformat(row[-1])))
            cursor.execute(f"INSERT INTO fires ({names}) SELECT {names} FROM staged {_CONFLICT}")

    def count(self) -> int:
        ((count,),) = self._connection.execute("SELECT count(*) FROM fires").fetchall()
        return int(count)
