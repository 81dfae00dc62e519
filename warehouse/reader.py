"""Reading the published build: connections that cannot do anything but read.

Three walls stand between a statement and the machine, so that anyone's SQL may be run:

1. `readable` lets through only statements that read, by DuckDB's own statement types.
   It is needed: `COPY … TO` may write into a folder that may be read.
2. The connection opens the build read-only, sees the folders of the archive and the
   warehouse and nothing else, loads no extension, and its configuration is locked.
3. Memory, time and rows are limited.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa
from django.conf import settings

from .build import MEMORY_LIMIT, empty_build
from .errors import QueryFailed, QueryTimeout, StatementRefused
from .publish import current_build, spill_folder

READS = "SELECT, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT … and EXPLAIN"
_BATCH_ROWS = 8192
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?(?P<options>\([^()]*\)\s*)?", re.IGNORECASE)
_PIVOT = re.compile(r"\s*PIVOT\s", re.IGNORECASE)
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
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_folder(folder)),
            "max_temp_directory_size": "4GB",
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        }
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        build = current_build()
        if build is None:
            connection.execute("ATTACH ':memory:' AS warehouse")
            connection.execute("USE warehouse")
            empty_build(connection)
        else:
            connection.execute(f"ATTACH '{_escaped(build)}' AS warehouse (READ_ONLY)")
            connection.execute("USE warehouse")
        allowed = ", ".join(f"'{_escaped(path)}'" for path in _readable_folders(folder))
        connection.execute(f"SET allowed_directories = [{allowed}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise QueryFailed(
            f"The published build {current_build()} cannot be opened: {error} "
            "Run `manage.py build_rollups` to make a new one."
        ) from error
    return connection


def readable(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Split `sql` into its statements. Raises `StatementRefused` when one does more than read."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryFailed(str(error)) from None
    for statement in statements:
        if not _reads(connection, statement):
            raise StatementRefused(
                f"{_first_words(statement)} is refused: here statements only read "
                f"({READS}). To write files or settings, open the build with DuckDB itself: "
                "duckdb -readonly $(the file that CURRENT names)."
            )
    return [statement.query for statement in statements]


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
    with _Deadline(connection, seconds) as deadline:
        with deadline.explained():
            relation = connection.sql(_without_end(statements[0]))
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


class _Deadline:
    """Interrupts what runs in a connection when its time is over."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float | None) -> None:
        self.passed = False
        self._connection = connection
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._seconds is not None:
            self._thread.join()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of DuckDB's errors what happened: too slow, stopped by Ctrl-C, or a mistake."""
        try:
            yield
        # While rows stream, errors come by way of Arrow, as an OSError.
        except (duckdb.Error, OSError, pa.ArrowException, RuntimeError) as error:
            if self.passed:
                raise QueryTimeout(
                    f"The statement was stopped after {self._seconds:g} s, which is as long as "
                    "one may take. Ask for less, or for a rollup of it."
                ) from None
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise QueryFailed(str(error)) from None

    def _watch(self) -> None:
        if self._done.wait(self._seconds):
            return
        self.passed = True
        # An interrupt between planning and running is lost, so it is repeated.
        while not self._done.wait(0.02):
            self._connection.interrupt()


def _rows(reader: pa.RecordBatchReader, deadline: _Deadline) -> Iterator[tuple[str | None, ...]]:
    while True:
        try:
            with deadline.explained():
                batch = reader.read_next_batch()
        except StopIteration:
            return
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _without_end(sql: str) -> str:
    """The statement without its semicolon and what follows: DuckDB puts it in parentheses."""
    return next((sql.encode()[:offset].decode() for offset in semicolons(sql)), sql)


def semicolons(sql: str) -> Iterator[int]:
    """The byte offsets of the semicolons that end a statement, not those in text or comments."""
    raw = sql.encode()
    for offset, kind in duckdb.tokenize(sql):
        if kind is duckdb.token_type.operator and raw[offset : offset + 1] == b";":
            yield offset


def _reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    kinds = duckdb.StatementType
    if statement.type is kinds.SELECT:
        return True
    if statement.type is kinds.MULTI:
        # A PIVOT without IN is two statements; so is a COPY of one, which writes.
        return _PIVOT.match(statement.query) is not None
    if statement.type is kinds.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains.
        return any(_is_one_select(connection, inner) for inner in _explained(statement.query))
    return False


def _explained(sql: str) -> Iterator[str]:
    """What an EXPLAIN may explain, with its parentheses read as options and as a statement."""
    if found := _EXPLAIN.match(sql):
        yield sql[found.end() :]
        if found["options"]:
            yield sql[found.start("options") :]


def _is_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error:
        return False
    return [statement.type for statement in statements] == [duckdb.StatementType.SELECT]


def _first_words(statement: duckdb.Statement) -> str:
    words = statement.query.rstrip("; \n").split()
    return " ".join(words[:3]) + ("…" if len(words) > 3 else "")


def _readable_folders(folder: Path) -> list[Path]:
    archive = str(settings.ARCHIVE_URL).removeprefix("file://")
    return [folder.resolve(), *([] if "://" in archive else [Path(archive).resolve()])]


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
