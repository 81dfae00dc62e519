"""Reading the published build: connections that cannot do anything but read.

`warehouse.walls` says what stands between a statement and the machine, so that anyone's SQL
may be run; here the walls are put around the installation's own folders, and rows come as
people read them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from django.conf import settings

from .build import MEMORY_LIMIT, empty_build
from .deadline import Deadline
from .errors import QueryFailed
from .publish import current_build, spill_folder
from .walls import open_walled, readable, without_end

_BATCH_ROWS = 8192
_NUMBERS = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|UINTEGER|FLOAT|DOUBLE|DECIMAL\(.*|BIGNUM"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of one statement, as they come."""

    columns: list[str]
    types: list[str]
    rows: Iterator[tuple[str | None, ...]]
    """Each value as DuckDB writes it, or as JSON where that was asked for."""

    def is_number(self, position: int) -> bool:
        """Whether the column at `position` holds numbers."""
        return _NUMBERS.fullmatch(self.types[position]) is not None


def connect() -> duckdb.DuckDBPyConnection:
    """Open the published build for reading, walled in; before the first one, empty tables.

    The session's time zone is UTC. Close the connection soon: a build is deleted some time
    after newer ones are published.
    """
    folder = settings.WAREHOUSE_DIR
    folder.mkdir(parents=True, exist_ok=True)
    return open_walled(
        current_build() or empty_build,
        folders=readable_folders(),
        spill=spill_folder(folder),
        memory=MEMORY_LIMIT,
    )


def readable_folders() -> list[Path]:
    """What SQL may read: the warehouse, and the archive where that is a local folder."""
    archive = str(settings.ARCHIVE_URL).removeprefix("file://")
    folder = Path(settings.WAREHOUSE_DIR).resolve()
    return [folder, *([] if "://" in archive else [Path(archive).resolve()])]


@contextmanager
def reading(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    rows: int | None = None,
    seconds: float | None = None,
    as_json: bool = False,
) -> Iterator[Answer]:
    """Run one statement that reads, and give its rows as they come, as text or as JSON.

    At most `rows` rows come. After `seconds`, fetching the rows included, the statement is
    interrupted and `QueryTimeout` is raised. Raises `StatementRefused` and `QueryFailed`.
    """
    statements = readable(connection, sql)
    if len(statements) != 1:
        raise QueryFailed(f"One statement is expected; here are {len(statements)}.")
    written = "to_json(COLUMNS(*))" if as_json else "CAST(COLUMNS(*) AS VARCHAR)"
    with Deadline(connection, seconds) as deadline:
        with deadline.explained():
            relation = connection.sql(without_end(statements[0]))
            limited = relation if rows is None else relation.limit(rows)
            reader = limited.select(written).to_arrow_reader(_BATCH_ROWS)
        try:
            yield Answer(
                columns=list(relation.columns),
                types=[str(kind) for kind in relation.types],
                rows=_rows(reader, deadline),
            )
        finally:
            reader.close()


def _rows(reader: pa.RecordBatchReader, deadline: Deadline) -> Iterator[tuple[str | None, ...]]:
    while True:
        try:
            with deadline.explained():
                batch = reader.read_next_batch()
        except StopIteration:
            return
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
