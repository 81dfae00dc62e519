"""One load at a time: two processes that link and load would each undo the other's work.

On SQLite, hence one machine, a lock file; on PostgreSQL an advisory lock. Either is
let go by the system when its process dies.

Who needs several takes them in this order: "erase", "compact", "load", "records".
"""

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import connection

logger = logging.getLogger(__name__)

_WAITING = "waiting for another process to let go of the lock name=%s"


RECORDS = "records"
"""Shared by whoever derives something of the archive, be it for a load or not; exclusive to who
takes something out of the archive for good, for a parse under way would write it down again."""


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock called `name`; waits, and says so, until its holder lets it go."""
    with _held(name, fcntl.LOCK_EX, "lock", "unlock"):
        yield


@contextmanager
def shared(name: str) -> Iterator[None]:
    """Hold the lock called `name` together with others that share it; see `exclusive`.

    Who holds it may take it again.
    """
    with _held(name, fcntl.LOCK_SH, "lock_shared", "unlock_shared"):
        yield


@contextmanager
def exclusive_if_free(name: str) -> Iterator[bool]:
    """Hold the lock called `name` if nobody else does; whether it is held. Does not wait."""
    if connection.vendor == "postgresql":
        number = _number(name)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
            is_held = cursor.fetchone() == (True,)
        try:
            yield is_held
        finally:
            if is_held:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
        return
    with _open(name) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _held(name: str, how: int, lock: str, unlock: str) -> Iterator[None]:
    if connection.vendor == "postgresql":
        number = _number(name)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_{lock}(%s)", [number])
            if cursor.fetchone() == (False,):
                logger.warning(_WAITING, name)
                cursor.execute(f"SELECT pg_advisory_{lock}(%s)", [number])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_advisory_{unlock}(%s)", [number])
        return
    with _open(name) as file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning(_WAITING, name)
            fcntl.flock(file, how)
        yield


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _open(name: str) -> IO[str]:
    folder = Path(settings.ROOTCELLAR_HOME) / "locks"
    folder.mkdir(exist_ok=True)
    return open(folder / f"{name}.lock", "w")
