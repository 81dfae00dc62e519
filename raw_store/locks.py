"""One load at a time: two processes that link and load would each undo the other's work.

On SQLite, hence one machine, a lock file; on PostgreSQL an advisory lock. Either is
let go by the system when its process dies.
"""

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

logger = logging.getLogger(__name__)

_WAITING = "waiting for another process to let go of the lock name=%s"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock called `name`; waits, and says so, until its holder lets it go."""
    if connection.vendor == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
            if cursor.fetchone() == (False,):
                logger.warning(_WAITING, name)
                cursor.execute("SELECT pg_advisory_lock(%s)", [number])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
        return
    folder = Path(settings.ROOTCELLAR_HOME) / "locks"
    folder.mkdir(exist_ok=True)
    with open(folder / f"{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning(_WAITING, name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
