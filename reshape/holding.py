"""Holding: rows wait until what they need is there.

A row waits for the target of a foreign key, in its own source or in another one, or for a
column that no payload gives yet. It is taken out of `linked_TABLE`, and `held` says why.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from django.db import connection as database
from django.db import models

from .columns import columns_of
from .copies import present_copy
from .layers import rows_in
from .models import Derived, HeldRow
from .neighbours import links_of
from .sql import empty_table, quoted_name
from .tables import read_table

Targets = Mapping[type[models.Model], Path]
"""Models of other sources → a Parquet file of the rows that links may have as targets."""


def hold(connection: duckdb.DuckDBPyConnection, derived: list[type[Derived]], source: str) -> None:
    """Make `held` and take every row that waits out of the tables `linked_TABLE`.

    What remains is the largest set of rows that are complete and whose links have their
    targets, so rows that refer to each other stay. Links into other sources look for theirs in
    `targets_TABLE` (see `find_targets`).
    """
    make_held(connection)
    for model in derived:
        hold_incomplete(connection, model, source)
    relations = [(model, relation) for model in derived for relation in links_of(model)]
    took = True
    while took:
        took = False
        for model, relation in relations:
            took = _hold_dangling(connection, model, relation, source) or took


def make_held(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `held`, without a row."""
    connection.execute(empty_table("held", columns_of(HeldRow).schema))


def find_targets(
    connection: duckdb.DuckDBPyConnection, of: Iterable[type[models.Model]], targets: Targets
) -> None:
    """Make `targets_TABLE`, a row per key, for models of other sources.

    They are read from `targets`; where a model has no file there, its table is taken as last
    loaded.
    """
    for model in of:
        columns = columns_of(model)
        table = f"targets_{model._meta.db_table}"
        names = ", ".join(quoted_name(name) for name in columns.key)
        schema = pa.schema([columns.schema.field(name) for name in columns.key])
        connection.execute(empty_table(table, schema))
        if path := targets.get(model) or present_copy(model):
            rows = rows_in(path, columns)
            connection.execute(f"INSERT INTO {table} SELECT {names} FROM ({rows})")
            continue
        for batch in read_table(database, model):
            connection.register("batch", batch)
            connection.execute(f"INSERT INTO {table} SELECT {names} FROM batch")
            connection.unregister("batch")


def hold_incomplete(
    connection: duckdb.DuckDBPyConnection, model: type[Derived], source: str
) -> None:
    """Hold the rows that lack a column which none of their records gives."""
    columns = columns_of(model)
    if columns.merges_fields:
        for column in columns.given:
            if column.is_required and column.name not in columns.key and not column.nullable:
                missing = f"{quoted_name(column.name)} IS NULL"
                take_out(connection, model, column.field.name, "''", missing, source)


def _hold_dangling(
    connection: duckdb.DuckDBPyConnection,
    model: type[Derived],
    relation: "models.ForeignKey[Any, Any]",
    source: str,
) -> bool:
    column = quoted_name(str(relation.column))
    target = relation.target_field
    kind = "linked" if target.model._meta.app_label == source else "targets"
    dangling = f"""
        {column} IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM {kind}_{target.model._meta.db_table} AS t
            WHERE t.{quoted_name(str(target.column))} = linked_{model._meta.db_table}.{column}
        )
    """
    return take_out(connection, model, relation.name, f"{column}::VARCHAR", dangling, source)


def take_out(
    connection: duckdb.DuckDBPyConnection,
    model: type[Derived],
    field: str,
    target: str,
    where: str,
    source: str,
    *,
    table: str = "",
) -> bool:
    """Move the rows of `linked_TABLE`, or of another `table` of the model's rows, for which
    `where` holds to `held`; return whether there was one."""
    table = table or f"linked_{model._meta.db_table}"
    key = ", ".join(f"{quoted_name(name)}::VARCHAR" for name in columns_of(model).key)
    connection.execute(
        f"""
        INSERT INTO held BY NAME
        SELECT $model AS model, to_json([{key}])::VARCHAR AS key, $field AS field,
               {target} AS target, $source AS source, fetch_id
        FROM {table} WHERE {where}
        """,
        {"model": model._meta.label, "field": field, "source": source},
    )
    ((deleted,),) = connection.execute(f"DELETE FROM {table} WHERE {where}").fetchall()
    return bool(deleted)
