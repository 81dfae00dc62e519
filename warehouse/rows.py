"""A rollup's rows: computed into the build, given an id each, and handed over as Parquet."""

import os
from pathlib import Path

import duckdb

from .columns import ROW_ID, is_nested, stored_type
from .discovery import Rollup
from .errors import RollupInvalid
from .rollup_tables.models import ROW_ID_LENGTH
from .statement import quoted

_FLOATS = {"FLOAT", "DOUBLE"}


def create_rows(connection: duckdb.DuckDBPyConnection, rollup: Rollup) -> None:
    """Create the rollup's table, with its rows, in the current schema.

    `row_id` is a digest of the row's key columns, of all columns where it declares no key. Of
    rows that are equal in every column, the second and later ones count themselves in.
    Raises `RollupInvalid` when two rows have the same key.
    """
    connection.execute(f'CREATE OR REPLACE TEMP VIEW "selected rows" AS {rollup.sql}')
    # JSON and most databases have no word for what is not a finite number.
    columns = ", ".join(
        f"CASE WHEN isfinite({quoted(name)}) THEN {quoted(name)} END AS {quoted(name)}"
        if kind in _FLOATS
        else quoted(name)
        for name, kind in rollup.columns
    )
    key = rollup.key or tuple(name for name, _ in rollup.columns)
    packed = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in key)
    table = quoted(rollup.name)
    connection.execute(
        f"CREATE TABLE {table} AS SELECT {_short_digest(f'to_json(struct_pack({packed}))')} "
        f'AS {ROW_ID}, * FROM (SELECT {columns} FROM "selected rows")'
    )
    connection.execute('DROP VIEW "selected rows"')
    if _has_duplicates(connection, table):
        if rollup.key:
            raise RollupInvalid(_duplicate(connection, rollup))
        _count_duplicates(connection, table)


def export_rows(connection: duckdb.DuckDBPyConnection, rollup: Rollup, path: Path) -> None:
    """Write the rollup's rows to a Parquet file, in the types of the serving database.

    As in the models' copies, a UUID is its text and JSON is text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    listed = ", ".join(f"{_stored(name, kind)} AS {quoted(name)}" for name, kind in rollup.columns)
    target = str(temporary).replace("'", "''")
    try:
        connection.execute(
            f"COPY (SELECT {ROW_ID}, {listed} FROM {quoted(rollup.name)}) "
            f"TO '{target}' (FORMAT parquet)"
        )
    except duckdb.ConversionException:
        temporary.unlink(missing_ok=True)
        if found := _unstorable(connection, rollup):
            raise RollupInvalid(found) from None
        raise
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)


def _short_digest(text: str) -> str:
    return f"left(sha256({text}::VARCHAR), {ROW_ID_LENGTH})"


def _has_duplicates(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = connection.execute(
        f"SELECT count(*) <> count(DISTINCT {ROW_ID}) FROM {table}"
    ).fetchone()
    assert found is not None
    return bool(found[0])


def _count_duplicates(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    digest = _short_digest(f"{ROW_ID} || '#' || occurrence")
    connection.execute(
        f"CREATE OR REPLACE TABLE {table} AS "
        f"SELECT * EXCLUDE (occurrence) "
        f"REPLACE (CASE WHEN occurrence = 1 THEN {ROW_ID} ELSE {digest} END AS {ROW_ID}) "
        f"FROM (SELECT *, row_number() OVER (PARTITION BY {ROW_ID}) AS occurrence FROM {table})"
    )


def _duplicate(connection: duckdb.DuckDBPyConnection, rollup: Rollup) -> str:
    columns = ", ".join(quoted(name) for name in rollup.key)
    found = connection.execute(
        f"SELECT {columns}, count(*) FROM {quoted(rollup.name)} "
        f"GROUP BY {columns} HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    assert found is not None
    named = ", ".join(f"{name}={value}" for name, value in zip(rollup.key, found, strict=False))
    return (
        f"{found[-1]} of its rows have the key {named}; a key names one row, so group by it or "
        "add a column to the `-- key:` line"
    )


def _stored(name: str, kind: str) -> str:
    column = quoted(name)
    stored = stored_type(kind)
    if is_nested(kind):
        return f"CASE WHEN {column} IS NOT NULL THEN to_json({column})::VARCHAR END"
    if stored in {"JSON", "UUID"}:
        return f"CAST({column} AS VARCHAR)"
    return column if stored == kind else f"CAST({column} AS {stored})"


def _unstorable(connection: duckdb.DuckDBPyConnection, rollup: Rollup) -> str | None:
    """Name the first column with a value that its stored type does not hold."""
    for name, kind in rollup.columns:
        found = connection.execute(
            f"SELECT max({quoted(name)})::VARCHAR FROM {quoted(rollup.name)} "
            f"WHERE {quoted(name)} IS NOT NULL AND try({_stored(name, kind)}) IS NULL"
        ).fetchone()
        if found and found[0] is not None:
            return (
                f"the column {name} ({kind}) holds {found[0]}, which is more than "
                f"{stored_type(kind)} can; cast it to DECIMAL(38, 0) or DOUBLE"
            )
    return None
