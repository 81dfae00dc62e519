"""One state of the database for a whole operation, however many statements it takes.

A load changes a source's tables in one transaction. Two statements, one before and one after
it, would answer with half of the old and half of the new.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

_BEGIN = {
    # Deferred: it takes no lock, and reads the state that the first statement meets.
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


@dataclass(slots=True)
class Snapshot:
    """A connection on which every statement reads the same state."""

    connection: BaseDatabaseWrapper
    is_open: bool

    def execute(self, cursor: CursorWrapper, sql: str, params: list[Any]) -> None:
        """Execute a statement; the first one opens the transaction."""
        if self.is_open:
            cursor.execute(sql, params)
            return
        self.is_open = True
        begin = _BEGIN[self.connection.vendor]
        if self.connection.vendor == "postgresql":
            # In one message: a round trip less.
            cursor.execute(f"{begin}; {sql}", params)
            cursor.nextset()
        else:
            cursor.execute(begin)
            cursor.execute(sql, params)


@contextmanager
def snapshot(alias: str, *, is_one_statement: bool) -> Iterator[Snapshot]:
    """One state to read from. A single statement reads one anyway; so does an open transaction."""
    connection = connections[alias]
    if is_one_statement or connection.in_atomic_block:
        yield Snapshot(connection, is_open=True)
        return
    found = Snapshot(connection, is_open=False)
    try:
        yield found
    finally:
        if found.is_open and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
