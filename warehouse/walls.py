"""The walls around SQL that was not reviewed; nothing here needs Django.

1. `readable` lets through only statements that read, by DuckDB's own statement types.
   It is needed: `COPY … TO` may write into a folder that may be read.
2. `open_walled` opens a build read-only; the connection sees the named folders and nothing
   else, loads no extension, and its configuration is locked.
3. Memory is limited. Time is too, by `warehouse.deadline`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb

from .errors import QueryFailed, StatementRefused

READS = "SELECT, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT … and EXPLAIN"
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?(?P<options>\([^()]*\)\s*)?", re.IGNORECASE)
_PIVOT = re.compile(r"\s*PIVOT\s", re.IGNORECASE)


def open_walled(
    build: Path | Callable[[duckdb.DuckDBPyConnection], None],
    *,
    folders: Iterable[Path],
    spill: Path,
    memory: str,
    spill_size: str = "4GB",
    threads: int | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a build for reading, walled in; its schema is called `warehouse`, the time zone UTC.

    `folders` may be read, besides the build. What memory cannot hold goes to `spill`, a folder
    of this connection's own. In place of a build, a function may make the tables. Raises
    `QueryFailed` where the build cannot be opened.
    """
    config: dict[str, str | bool | int] = {
        "memory_limit": memory,
        "temp_directory": str(spill),
        "max_temp_directory_size": spill_size,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
    }
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        if callable(build):
            connection.execute("ATTACH ':memory:' AS warehouse")
            connection.execute("USE warehouse")
            build(connection)
        else:
            connection.execute(f"ATTACH '{_escaped(build)}' AS warehouse (READ_ONLY)")
            connection.execute("USE warehouse")
        allowed = ", ".join(f"'{_escaped(path)}'" for path in folders)
        connection.execute(f"SET allowed_directories = [{allowed}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise QueryFailed(
            f"The published build {build} cannot be opened: {error} "
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


def without_end(sql: str) -> str:
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
        return explained(connection, statement.query) is not None
    return False


def explained(connection: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """The SELECT that an EXPLAIN explains; None where it explains anything else."""
    readings = (inner for inner in _explained(sql) if _is_one_select(connection, inner))
    return next(readings, None)


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


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
