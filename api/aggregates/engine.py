"""DuckDB for aggregates: one instance a process over the published build, a cursor a question.

The instance is opened walled in, as for anyone's SQL (`warehouse.reader`), and opened anew
when another build is published. What runs is interrupted when its asker is gone or its time
is over.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.publish import current_build
from warehouse.reader import connect

from ..compiled.workers import interruptible
from ..errors import RequestRefused

MAX_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A build that is open, and what it can answer for."""

    path: Path
    connection: duckdb.DuckDBPyConnection
    copies: frozenset[str]
    """The tables of the models that have a columnar copy in it."""
    rollups: frozenset[str]


_lock = threading.Lock()
_opened: list[Opened] = []


def opened_build() -> Opened | None:
    """The published build, opened by the first who asks; null before there is one."""
    path = current_build()
    if path is None:
        return None
    with _lock:
        if _opened and _opened[0].path == path:
            return _opened[0]
        # Cursors of the former one keep it open until they are done.
        _opened.clear()
        found = _open(path)
        _opened.append(found)
        return found


def _open(path: Path) -> Opened:
    connection = connect()
    copies = connection.execute("SELECT name FROM build.copies WHERE name IS NOT NULL").fetchall()
    rollups = connection.execute("SELECT name FROM build.rollups").fetchall()
    return Opened(
        path=path,
        connection=connection,
        copies=frozenset(name for (name,) in copies),
        rollups=frozenset(name for (name,) in rollups),
    )


def fetch(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    params: Sequence[Any],
    *,
    catalog: str | None = None,
) -> list[tuple[Any, ...]]:
    """The rows of one statement, of the tables in a catalog of the connection's.

    Raises `RequestRefused` for one that takes too long.
    """
    with connection.cursor() as cursor, interruptible(cursor.interrupt, MAX_SECONDS) as state:
        try:
            if catalog is not None:
                # A cursor does not know what its connection uses.
                cursor.execute(f"USE {catalog}")
            found: list[tuple[Any, ...]] = cursor.execute(sql, params).fetchall()
            return found
        except duckdb.ConversionException as error:
            raise RequestRefused(
                f"A value of the cursor or the filter does not fit its column: {error}"
            ) from None
        except duckdb.OutOfRangeException as error:
            raise RequestRefused(
                f"A number of this answer is beyond what its type holds: {error}"
            ) from None
        except (duckdb.InterruptException, RuntimeError):
            if not state.is_late:
                raise
            raise RequestRefused(
                f"This aggregate takes longer than {MAX_SECONDS:g} s. Filter more, group by "
                "less, or have a rollup of it made."
            ) from None
