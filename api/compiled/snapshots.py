"""One state of the database for a whole operation, however many statements it takes.

A load changes a source's tables in one transaction. Two statements, one before and one after
it, would answer with half of the old and half of the new.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_BEGIN = {
    # Deferred: it takes no lock, and reads the state that the first statement meets.
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


@contextmanager
def snapshot(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection on which every statement reads the same state.

    Where a transaction is open already, its state is read.
    """
    connection = connections[alias]
    if connection.in_atomic_block:
        yield connection
        return
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN[connection.vendor])
    try:
        yield connection
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
