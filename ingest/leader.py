"""One leader at a time: of several processes that could run the schedule, one does.

On SQLite, hence one machine, a locked file; on PostgreSQL an advisory lock held by a connection of
its own. Either is let go by the system when its holder dies, so another process can take over.
"""

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper


class Leadership(Protocol):
    """A lock that is tried, not waited for. Blocking: call it off the event loop."""

    def acquire(self) -> bool:
        """Take the lead if nobody has it."""

    def is_held(self) -> bool:
        """Whether the lead is still ours."""

    def release(self) -> None:
        """Let another process lead."""


def leadership(name: str) -> Leadership:
    """The lead called `name`, by the means of the database in use."""
    return AdvisoryLock(name) if connection.vendor == "postgresql" else FileLock(name)


class FileLock:
    """A lock on `ROOTCELLAR_HOME/locks/NAME.lock`."""

    def __init__(self, name: str) -> None:
        self._path = Path(settings.ROOTCELLAR_HOME) / "locks" / f"{name}.lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def is_held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class AdvisoryLock:
    """A PostgreSQL advisory lock; it lives as long as its connection."""

    def __init__(self, name: str, database: BaseDatabaseWrapper | None = None) -> None:
        self._database = database
        digest = hashlib.sha256(f"rootcellar {name}".encode()).digest()
        self._number = int.from_bytes(digest[:8], "big", signed=True)
        self._connection: BaseDatabaseWrapper | None = None

    def acquire(self) -> bool:
        own = (self._database or connection).copy()
        # The calls come from whichever thread is free.
        own.inc_thread_sharing()
        try:
            with own.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._number])
                (is_taken,) = cursor.fetchone()
        except DatabaseError:
            own.close()
            raise
        if not is_taken:
            own.close()
            return False
        self._connection = own
        return True

    def is_held(self) -> bool:
        if self._connection is None:
            return False
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            # The connection is gone and the lock with it; another process may lead by now.
            self.release()
        return self._connection is not None

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
