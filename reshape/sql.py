"""DuckDB as this stage uses it: the connection, types and quoting."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
from django.conf import settings

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "600MB"
"""DuckDB spills to disk beyond it."""


@contextmanager
def duck(file: Path | None = None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A DuckDB connection, in memory or on a file, in UTC, that spills to the home folder."""
    # Not above: a process that only parses starts without it.
    import duckdb

    folder = _spill_folder()
    folder.mkdir(exist_ok=True)
    # Each connection spills to a folder of its own: DuckDB does not share one.
    with TemporaryDirectory(dir=folder, prefix="duckdb-") as spill:
        connection = duckdb.connect(
            str(file) if file else ":memory:",
            config={
                "temp_directory": spill,
                "memory_limit": MEMORY_LIMIT,
                "preserve_insertion_order": False,
            },
        )
        try:
            # Django sets the process's time zone, which DuckDB would adopt.
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def sweep_spilled(older_than_seconds: float = 86_400) -> None:
    """Remove what connections of killed processes left."""
    for left in _spill_folder().glob("duckdb-*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > older_than_seconds:
                shutil.rmtree(left, ignore_errors=True)


def _spill_folder() -> Path:
    return Path(settings.ROOTCELLAR_HOME) / "tmp"


def empty_table(name: str, schema: pa.Schema) -> str:
    """The statement that makes an empty table with these columns."""
    columns = ", ".join(f"{quoted_name(f.name)} {duck_type(f.type)}" for f in schema)
    return f"CREATE OR REPLACE TABLE {name} ({columns})"


def duck_type(arrow: pa.DataType) -> str:
    """The DuckDB type of an Arrow column."""
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision}, {arrow.scale})"
    if pa.types.is_list(arrow):
        return f"{duck_type(arrow.value_type)}[]"
    return _DUCK_TYPES[arrow]


_DUCK_TYPES = {
    pa.string(): "VARCHAR",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.binary(): "BLOB",
}


def quoted(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
