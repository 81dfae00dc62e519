"""The rollups' tables in the serving database.

Django's migrations leave them alone: their shape follows the SQL files, so they are created,
and created again when a file's columns change, inside the transaction that loads them.
"""

import hashlib
import logging
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from .models import RollupTable
from .rollup_tables.models import unique_columns
from .rollups import rollup_models

logger = logging.getLogger(__name__)


def ensure_tables(
    connection: BaseDatabaseWrapper, rollups: list[type[models.Model]] | None = None
) -> set[str]:
    """Make the rollups' tables exist in the shape of their models; return those made empty.

    Call it inside the load's transaction: SQLite and PostgreSQL create tables transactionally.
    The tables returned hold no rows now, so they must be loaded whole. Tables of rollups
    that no longer exist are dropped.
    """
    wanted = {
        model._meta.db_table: model for model in (rollup_models() if rollups is None else rollups)
    }
    shapes = RollupTable.objects.using(connection.alias)
    known = dict(shapes.values_list("table", "signature"))
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
        for table in known.keys() - wanted.keys():
            cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(table)}")
            shapes.filter(table=table).delete()
            logger.info("rollup table dropped table=%s", table)
        made = set()
        for table, model in wanted.items():
            statements = create_statements(connection, model)
            signature = hashlib.sha256("\n".join(statements).encode()).hexdigest()
            if known.get(table) == signature and table in present:
                continue
            cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(table)}")
            for statement in statements:
                cursor.execute(statement)
            shapes.update_or_create(table=table, defaults={"signature": signature})
            made.add(table)
            logger.info("rollup table created table=%s", table)
    return made


def create_statements(connection: BaseDatabaseWrapper, model: type[models.Model]) -> list[str]:
    """The statements that create the model's table and its indexes on this database."""
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    columns = ",\n  ".join(_column(connection, field) for field in model._meta.concrete_fields)
    indexes = [
        f"CREATE INDEX {quote(index.name)} ON {table} "
        f"({', '.join(quote(_column_name(model, name)) for name in index.fields)})"
        for index in model._meta.indexes
    ]
    if key := unique_columns(model.rollup):  # type: ignore[attr-defined]
        name = quote(f"{model._meta.db_table}_key"[-63:])
        indexes.append(f"CREATE UNIQUE INDEX {name} ON {table} ({', '.join(map(quote, key))})")
    return [f"CREATE TABLE {table} (\n  {columns}\n)", *indexes]


def _column_name(model: type[models.Model], field: str) -> str:
    (found,) = (each for each in model._meta.concrete_fields if each.name == field)
    return str(found.column)


def _column(connection: BaseDatabaseWrapper, field: "models.Field[Any, Any]") -> str:
    constraint = "PRIMARY KEY" if field.primary_key else ""
    null = "NULL" if field.null else "NOT NULL"
    name = connection.ops.quote_name(str(field.column))
    return f"{name} {field.db_type(connection)} {null} {constraint}".rstrip()
