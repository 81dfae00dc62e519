"""One state of the database for a whole operation, however many statements it takes.

A load changes a source's tables in one transaction. Two statements, one before and one after
it, would answer with half of the old and half of the new.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from .prepared import PreparedConnection, prepared
from .workers import afterwards, catch_up

_BEGIN = {
    # Deferred: it takes no lock, and reads the state that the first statement meets.
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


class Cursor(Protocol):
    """What a statement's rows are read from."""

    def fetchall(self) -> list[Any]: ...
    def fetchmany(self, size: int, /) -> list[Any]: ...


@dataclass(slots=True)
class Snapshot:
    """A connection on which every statement reads the same state."""

    connection: BaseDatabaseWrapper
    is_open: bool
    _prepared: PreparedConnection | None = field(default=None, init=False)
    _cursor: CursorWrapper | None = field(default=None, init=False)

    @property
    def is_at_once(self) -> bool:
        """Whether several statements take no longer than one: they go out together."""
        if self._prepared is None:
            self._prepared = prepared(self.connection)
        return self._prepared is not None

    def execute(self, sql: str, params: list[Any]) -> Cursor:
        """Execute a statement; the first one opens the transaction."""
        return self.execute_all([(sql, params)])[0]

    def execute_all(self, statements: list[tuple[str, list[Any]]]) -> Sequence[Cursor]:
        """Execute statements that know nothing of each other; one, where not `is_at_once`."""
        begin = [] if self.is_open else [(_BEGIN[self.connection.vendor], None)]
        self.is_open = True
        if self.is_at_once and self._prepared is not None:
            return self._prepared.execute_all([*begin, *statements])[len(begin) :]
        if self._cursor is None:
            self._cursor = self.connection.cursor()
        for sql, params in (*begin, *statements):
            self._cursor.execute(sql, params)
        return [self._cursor]

    def close(self) -> None:
        """End the transaction. It only read; where it failed, this takes it back."""
        held: Any = self.connection.connection
        if held is None or getattr(held, "closed", False):
            return
        if self._prepared is not None:
            self._prepared.execute_all([("COMMIT", None)])
        elif self._cursor is not None:
            self._cursor.execute("COMMIT")


@contextmanager
def snapshot(alias: str, *, is_one_statement: bool) -> Iterator[Snapshot]:
    """One state to read from. A single statement reads one anyway; so does an open transaction."""
    connection = connections[alias]
    catch_up()
    if is_one_statement or connection.in_atomic_block:
        yield Snapshot(connection, is_open=True)
        return
    found = Snapshot(connection, is_open=False)
    try:
        yield found
    finally:
        if connection.vendor == "sqlite":
            found.close()
        else:
            # A round trip that nobody needs to wait for.
            afterwards(found.close)
