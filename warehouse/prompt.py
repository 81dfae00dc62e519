"""The SQL prompt: statements over several lines, a few dot commands, Ctrl-C for one statement."""

from pathlib import Path
from typing import Any, TextIO

import duckdb

from raw_store.errors import closest_first

from .answers import write_answers
from .errors import WarehouseError
from .publish import current_build
from .reader import connect
from .render import FORMATS, Format
from .walls import semicolons

HELP = """\
A statement may span lines and ends with a semicolon. Ctrl-C stops it; Ctrl-D leaves.

.tables           the tables, and what each is
.schema [TABLE]   the columns of one table, or of all
.format FORMAT    how rows are shown: table, csv or json
.help             this
.quit             leave
"""
_FIRST, _NEXT = "sql> ", "...> "
_TABLES = """
SELECT name, kind, description FROM (
    SELECT table_name AS name, 'rollup' AS kind, comment AS description FROM duckdb_tables()
    WHERE database_name = 'warehouse' AND schema_name = 'main'
    UNION ALL
    SELECT view_name, if(view_name IN ('archive', 'payloads'), 'archive', 'model'), comment
    FROM duckdb_views() WHERE database_name = 'warehouse' AND NOT internal
)
ORDER BY kind, name
"""
_SCHEMA = """
SELECT table_name, column_name, data_type FROM duckdb_columns()
WHERE database_name = 'warehouse' AND schema_name = 'main' AND NOT internal
ORDER BY table_name, column_index
"""


class Prompt:
    """Reads statements from a terminal and shows their rows."""

    def __init__(self, out: TextIO, *, row_limit: int, seconds: float | None) -> None:
        self._out = out
        self._row_limit = row_limit
        self._seconds = seconds
        self._format: Format = "table"
        self._connection = connect()
        self._build = current_build()

    def run(self, history: Path) -> None:
        """Read and run statements until the end of input."""
        readline = self._prepare_line_editing(history)
        self._say(f"{self._greeting()} .help says what you can do.")
        buffer = ""
        try:
            while True:
                try:
                    line = input(_NEXT if buffer else _FIRST)
                except KeyboardInterrupt:
                    self._say("")
                    buffer = ""
                    continue
                try:
                    buffer = self._take(buffer, line)
                except KeyboardInterrupt:
                    self._say("Stopped.")
                    buffer = ""
        except EOFError:
            self._say("")
        finally:
            self._connection.close()
            if readline:
                readline.write_history_file(history)

    def _take(self, buffer: str, line: str) -> str:
        """Run what is complete, and return what still waits for its semicolon."""
        if not buffer and line.strip().startswith("."):
            self._run_command(line.strip())
            return ""
        buffer = f"{buffer}\n{line}" if buffer else line
        if not buffer.strip():
            return ""
        if not is_complete(buffer):
            return buffer
        self.execute(buffer)
        return ""

    def execute(self, sql: str) -> None:
        """Run statements and show their rows, or what is wrong with them."""
        self._follow_build()
        try:
            write_answers(
                self._connection,
                sql,
                self._out,
                self._format,
                row_limit=self._row_limit,
                seconds=self._seconds,
            )
        except WarehouseError as error:
            self._say(str(error))

    def _run_command(self, line: str) -> None:
        command, _, argument = line.removesuffix(";").partition(" ")
        argument = argument.strip()
        if command in (".quit", ".exit"):
            raise EOFError
        if command == ".help":
            self._say(HELP.rstrip())
        elif command == ".tables":
            self.execute(_TABLES)
        elif command == ".schema":
            self._show_schema(argument)
        elif command == ".format" and argument in FORMATS:
            self._format = FORMATS[FORMATS.index(argument)]
        elif command == ".format":
            self._say(f"The formats are {', '.join(FORMATS)}.")
        else:
            known = [".tables", ".schema", ".format", ".help", ".quit"]
            self._say(
                f"There is no {command}. Closest first: {', '.join(closest_first(command, known))}."
            )

    def _show_schema(self, table: str) -> None:
        columns = self._columns()
        if table and table not in columns:
            near = ", ".join(closest_first(table, columns)[:5])
            self._say(f"There is no table {table}. Closest first: {near}.")
            return
        for name in [table] if table else columns:
            width = max(len(column) for column, _ in columns[name])
            self._say(name)
            for column, kind in columns[name]:
                self._say(f"    {column:<{width}}  {kind}")

    def _columns(self) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in self._connection.execute(_SCHEMA).fetchall():
            found.setdefault(table, []).append((column, kind))
        return found

    def _follow_build(self) -> None:
        """Go over to the newest build, so that a long session sees new data."""
        build = current_build()
        if build == self._build:
            return
        try:
            fresh = connect()
        except WarehouseError as error:
            self._say(str(error))
            return
        self._connection.close()
        self._connection, self._build = fresh, build

    def _greeting(self) -> str:
        if self._build is None:
            return (
                "Nothing is published yet, so the tables are empty: run `manage.py replay` first."
            )
        return f"{len(self._columns())} tables in {self._build.name}."

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def _prepare_line_editing(self, history: Path) -> Any:
        try:
            import readline
        except ImportError:
            return None
        if history.exists():
            readline.read_history_file(history)
        readline.set_history_length(1000)
        tables = self._columns()
        words = sorted({*tables, *(column for pairs in tables.values() for column, _ in pairs)})

        def complete(text: str, state: int) -> str | None:
            found = [word for word in words if word.startswith(text)]
            return found[state] if state < len(found) else None

        readline.set_completer(complete)
        readline.parse_and_bind("tab: complete")
        return readline


def is_complete(sql: str) -> bool:
    """Whether the text ends a statement: its last token, comments aside, is a semicolon."""
    tokens = [
        offset for offset, kind in duckdb.tokenize(sql) if kind is not duckdb.token_type.comment
    ]
    return not tokens or tokens[-1] in set(semicolons(sql))
