"""Room on the disk: where there is none, whoever derives something ends with an error that says so.

Each of the libraries that write has an error of its own for it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from django.conf import settings

from .errors import DiskFull

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_LONGEST = 300


@contextmanager
def room_needed() -> Iterator[None]:
    """Raise `DiskFull` in place of what is raised where the disk is full."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if not is_of_full_disk(error):
            raise
        said = str(error).splitlines()[0][:_LONGEST]
        raise DiskFull(
            f"The disk is full. The rows are as they were, and what was parsed is kept. Free some "
            f"space in {settings.ROOTCELLAR_HOME}; the next replay goes on from there. ({said})"
        ) from error


def is_of_full_disk(error: Exception) -> bool:
    """Whether an error says that there is no room."""
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    return "No space left" in str(error) or "Disk quota exceeded" in str(error)
