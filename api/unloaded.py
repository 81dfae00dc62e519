"""Rollups that are declared and not loaded yet, which is no error of whoever asks.

The load creates a rollup's table. Before the first one there is none, and after a change
of the SQL file the table has its former columns until the next.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, ProgrammingError, connection

from .catalog import Entity
from .errors import RequestRefused

Found = TypeVar("Found")


def read(entity: Entity, fetch: Callable[[], Found], empty: Found) -> Found:
    """What `fetch` reads of an entity, or `empty` of a rollup that was never loaded.

    Raises `RequestRefused` for a rollup whose table has other columns than its file.
    """
    try:
        return fetch()
    except (OperationalError, ProgrammingError) as error:
        if not entity.is_rollup:
            raise
        columns = _columns(entity.model._meta.db_table)
        if columns is None:
            return empty
        if missing := {column.attname for column in entity.columns} - columns:
            raise RequestRefused(
                f"The rollup {entity.model._meta.db_table} has changed and is not loaded again "
                f"yet: {', '.join(sorted(missing))} is new. Run manage.py build_rollups."
            ) from error
        raise


def _columns(table: str) -> set[str] | None:
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return None
        return {each.name for each in connection.introspection.get_table_description(cursor, table)}
