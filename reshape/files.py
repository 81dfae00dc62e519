"""New files for people: whole or not at all, and never over another file."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb

from .errors import FileUnwritable
from .sql import duck, quoted

# What DuckDB 1.2 and later can open.
_STORAGE_VERSION = "v1.2.0"
_LEFT_AFTER_S = 3600.0


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """A temporary path beside `file`; what is written there becomes `file` in one step at the end.

    After an error, and in a process that is killed, there is no `file`. Raises
    `FileExistsError`, for a file is never overwritten, and `FileUnwritable`.
    """
    exists = FileExistsError(f"{file} exists already. Name a new file, or remove that one.")
    if file.exists():
        raise exists
    if not file.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {file.parent} to write {file.name} into.")
    for left in file.parent.glob(f".{file.name}.*.tmp*"):
        if time.time() - left.stat().st_mtime > _LEFT_AFTER_S:
            left.unlink(missing_ok=True)
    temporary = file.with_name(f".{file.name}.{uuid4().hex}.tmp")
    try:
        temporary.touch()
        # Whoever writes makes it: DuckDB takes no empty file.
        temporary.unlink()
    except OSError as error:
        raise FileUnwritable(
            f"{file} cannot be written: {error.strerror or error}. Name another file."
        ) from error
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        try:
            os.link(temporary, file)
        except FileExistsError:
            raise exists from None
        except OSError:
            # Some file systems have no hard links.
            temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)


@contextmanager
def new_duckdb(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose tables become the DuckDB file `file` at the end; see `new_file`."""
    with new_file(file) as temporary, duck() as connection:
        connection.execute(
            f"ATTACH {quoted(str(temporary))} AS made (STORAGE_VERSION '{_STORAGE_VERSION}')"
        )
        connection.execute("USE made")
        yield connection
        connection.execute("USE memory")
        connection.execute("DETACH made")
