"""Statements that PostgreSQL plans once on each connection, not each time they are asked.

Django writes values into a statement's text, which is then parsed and planned anew: more work than
most of our statements are. Here values travel beside the text (psycopg's own cursor does so), and a
text that comes again is prepared.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    import psycopg

_PREPARED_AFTER = 2
"""Times that a connection meets a statement unprepared."""


class PreparedCursor:
    """A cursor of one connection, whose errors are Django's."""

    def __init__(self, connection: BaseDatabaseWrapper, cursor: "psycopg.Cursor[Any]") -> None:
        self._connection = connection
        self._cursor = cursor
        self.fetchall = cursor.fetchall
        self.fetchmany = cursor.fetchmany

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        """Execute a statement with a `%s` for each parameter."""
        with self._connection.wrap_database_errors:
            try:
                self._cursor.execute(sql, params)
            except _stale() as error:
                # Its table is another one since it was prepared, or a pooler in between has changed
                # the server's side. A new connection knows nothing that is wrong.
                self._cursor.connection.close()
                raise error


_cursors: "WeakKeyDictionary[psycopg.Connection[Any], psycopg.Cursor[Any]]" = WeakKeyDictionary()


def prepared_cursor(connection: BaseDatabaseWrapper) -> PreparedCursor | None:
    """The cursor for a connection of Django's; null where statements are not to be prepared."""
    if connection.vendor != "postgresql" or not settings.PREPARE_STATEMENTS:
        return None
    import psycopg
    from django.db.backends.postgresql.psycopg_any import register_tzloader

    connection.ensure_connection()
    # Looked up here: what a proxy stands for is another connection in another thread.
    held: Any = connection.connection
    cursor = _cursors.get(held)
    if cursor is None:
        held.prepare_threshold = _PREPARED_AFTER
        cursor = _cursors[held] = psycopg.Cursor(held)
        register_tzloader(connection.timezone, cursor)
    return PreparedCursor(connection, cursor)


def _stale() -> tuple[type[Exception], ...]:
    from psycopg import errors

    return (
        errors.FeatureNotSupported,
        errors.InvalidSqlStatementName,
        errors.DuplicatePreparedStatement,
    )
