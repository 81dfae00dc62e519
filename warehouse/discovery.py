"""Find the rollups: each `rollups/NAME.sql` of a source is one table, in an order that works.

Everything about a rollup is known before any data is: its columns come from
DESCRIBE over empty tables that have the models' types, and so do its links and asserts.
"""

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb
from django.db import models

from raw_store.errors import closest_first

from .asserts import Assertion, read_assertion
from .columns import ROW_ID, django_field
from .errors import HeaderInvalid, RollupInvalid
from .headers import Refresh
from .links import Links, Target
from .statement import Select, parse_select, quoted

RESERVED_TABLES = frozenset({"archive", "payloads"})
_RESERVED_COLUMNS = frozenset({ROW_ID, "pk", "objects", "rollup"})
_NAME = re.compile(r"[a-z](_?[a-z0-9])*")
Columns = Mapping[str, str]
"""Column names and their DuckDB types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """A precomputed aggregate: one SQL file, one table, one field of the API."""

    name: str
    """The file's name: the table's, and the API's."""
    source: str
    path: Path
    sql: str
    description: str
    """The file's leading comment, without its headers."""
    key: tuple[str, ...]
    """The columns of its `-- key:` line, which tell its rows apart; empty: all columns do."""
    links: tuple[tuple[str, str], ...]
    """The columns whose values are a model's key, each with the model's label."""
    refresh: Refresh
    asserts: tuple[Assertion, ...]
    misspelt: tuple[str, ...]
    """Lines of the comment that look like a header and are none."""
    inputs: tuple[str, ...]
    """The tables it reads: models' and other rollups'."""
    columns: tuple[tuple[str, str], ...]
    """Names and DuckDB types, in order, without the row id."""
    measures: frozenset[str]
    """The columns that an aggregate or a window computed; what is left is what it groups by."""


@dataclass(slots=True)
class _File:
    """A rollup's file on its way to become a `Rollup`."""

    name: str
    source: str
    path: Path
    select: Select
    inputs: tuple[str, ...] = ()

    def wrong(self, problem: str) -> RollupInvalid:
        return _invalid(self.path, problem)


def discover(
    files: Iterable[tuple[str, Path]],
    tables: Mapping[str, Columns],
    taken: Iterable[str] = (),
    targets: Iterable[Target] = (),
) -> tuple[list[Rollup], list[RollupInvalid]]:
    """Read (source, file) pairs and return the rollups in dependency order, and what is wrong.

    `tables` are the models' tables; `taken` are further table names a rollup may not have;
    `targets` are the models that columns may link to. A broken file is named in the second
    list, and so is each that reads it; the others are found.
    """
    with duckdb.connect(
        config={"enable_external_access": False, "python_enable_replacements": False, "threads": 1}
    ) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, columns in tables.items():
            create_empty(connection, table, columns)
        links = Links(targets)
        known: dict[str, Columns] = dict(tables)
        problems: list[RollupInvalid] = []
        parsed, broken = _parse_files(connection, files, {*tables, *taken}, problems)
        rollups: list[Rollup] = []
        for file in _ordered(parsed, tables, broken, problems):
            if late := [name for name in file.inputs if name in broken]:
                broken[file.name] = file.path
                problems.append(file.wrong(f"it reads {late[0]}; correct {broken[late[0]]} first"))
                continue
            try:
                rollup = _describe(connection, file, known, links)
            except RollupInvalid as problem:
                broken[file.name] = file.path
                problems.append(problem)
            else:
                known[rollup.name] = dict(rollup.columns)
                rollups.append(rollup)
    return rollups, problems


def _parse_files(
    connection: duckdb.DuckDBPyConnection,
    files: Iterable[tuple[str, Path]],
    taken: set[str],
    problems: list[RollupInvalid],
) -> tuple[dict[str, _File], dict[str, Path]]:
    """Read the files; return those that are one SELECT with a free name, and the others."""
    parsed: dict[str, _File] = {}
    broken: dict[str, Path] = {}
    for source, path in files:
        try:
            file = _File(path.stem, source, path, _parse(connection, path))
            _check_name(file, parsed, taken)
        except RollupInvalid as problem:
            problems.append(problem)
            if path.stem not in parsed:
                broken[path.stem] = path
        else:
            parsed[file.name] = file
    return parsed, broken


def create_empty(connection: duckdb.DuckDBPyConnection, table: str, columns: Columns) -> None:
    """Create a table without rows in the connection's current schema."""
    listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE {quoted(table)} ({listed})")


def _parse(connection: duckdb.DuckDBPyConnection, path: Path) -> Select:
    try:
        return parse_select(connection, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise _invalid(path, "it is not UTF-8 text") from None
    except RollupInvalid as problem:
        raise _invalid(path, problem) from None


def _check_name(file: _File, parsed: dict[str, _File], taken: set[str]) -> None:
    name = file.name
    if not _NAME.fullmatch(name) or len(name) > 60:
        raise file.wrong(
            f"{name!r} cannot name a table and a field of the API; use lower-case letters, digits "
            "and single underscores, at most 60 of them"
        )
    for other in parsed.values():
        if other.name.replace("_", "") == name.replace("_", ""):
            raise file.wrong(
                f"{other.path} already has the name {other.name}; names are unique over all "
                "sources (underscores do not count), so rename one of the files"
            )
    if name in taken or name in RESERVED_TABLES:
        raise file.wrong(f"a table {name} exists already; rename the file")


def _ordered(
    parsed: dict[str, _File],
    tables: Mapping[str, Columns],
    broken: dict[str, Path],
    problems: list[RollupInvalid],
) -> list[_File]:
    """Resolve every file's inputs and return the files, inputs first."""
    known = {name.lower(): name for name in (*tables, *parsed, *broken)}
    for file in list(parsed.values()):
        try:
            file.inputs = tuple(_resolve(file, table, known) for table in file.select.tables)
        except RollupInvalid as problem:
            problems.append(problem)
            broken[file.name] = file.path
            del parsed[file.name]
    while True:
        graph = {
            file.name: [name for name in file.inputs if name in parsed] for file in parsed.values()
        }
        try:
            return [parsed[name] for name in TopologicalSorter(graph).static_order()]
        except CycleError as error:
            circle = error.args[1]
            file = parsed[circle[0]]
            problems.append(
                file.wrong(
                    f"it reads itself, by way of {' → '.join(reversed(circle))}; one of these "
                    "files must do without the next"
                )
            )
            for name in set(circle):
                broken[name] = parsed.pop(name).path


def _resolve(file: _File, table: str, known: Mapping[str, str]) -> str:
    if "." in table:
        last = table.rpartition(".")[2]
        raise file.wrong(f"it reads {table}; write the table's bare name, {last}")
    try:
        return known[table.lower()]
    except KeyError:
        near = ", ".join(closest_first(table, known.values())[:5]) or "none: there are no models"
        raise file.wrong(
            f"it reads the table {table}, which is neither a model's nor a rollup's. "
            f"Known tables, closest first: {near}"
        ) from None


def _describe(
    connection: duckdb.DuckDBPyConnection, file: _File, known: Mapping[str, Columns], links: Links
) -> Rollup:
    """Find out what a file gives, and leave its empty table in the connection."""
    select, headers = file.select, file.select.headers
    if select.changing:
        raise file.wrong(
            f"it uses {', '.join(select.changing)}, whose answer changes from one build to the "
            "next; a rollup depends on its tables alone, so take the time from a column"
        )
    try:
        found = connection.execute(f"DESCRIBE {select.sql}").fetchall()
    except duckdb.Error as error:
        raise file.wrong(f"DuckDB cannot plan it: {error}") from None
    columns = [(str(row[0]), str(row[1])) for row in found]
    _check_columns(file, columns)
    create_empty(connection, file.name, {ROW_ID: "VARCHAR", **dict(columns)})
    try:
        inputs = {name: known[name] for name in file.inputs}
        linked = links.find(file.name, select.root, dict(columns), inputs, headers.links)
        asserts = tuple(
            read_assertion(connection, text, file.name, file.inputs) for text in headers.asserts
        )
    except RollupInvalid as problem:
        connection.execute(f"DROP TABLE {quoted(file.name)}")
        raise _invalid(file.path, problem) from None
    return Rollup(
        name=file.name,
        source=file.source,
        path=file.path,
        sql=select.sql,
        description=headers.description,
        key=headers.key,
        links=tuple(linked.items()),
        refresh=headers.refresh,
        asserts=asserts,
        misspelt=tuple(headers.misspelt),
        inputs=file.inputs,
        columns=tuple(columns),
        measures=select.measures,
    )


def _check_columns(file: _File, columns: list[tuple[str, str]]) -> None:
    names = [name for name, _ in columns]
    for name, kind in columns:
        if not _NAME.fullmatch(name) or len(name) > 60 or keyword.iskeyword(name):
            raise file.wrong(
                f"the column {name!r} has no name that fits the API; give it one with AS, in "
                "lower-case letters, digits and single underscores"
            )
        if name in _RESERVED_COLUMNS or hasattr(models.Model, name):
            hint = " (of a rollup, select the columns you need)" if name == ROW_ID else ""
            raise file.wrong(f"the column name {name} is taken; give it another with AS{hint}")
        if names.count(name) > 1:
            raise file.wrong(f"two columns are called {name}; give each its own name with AS")
        try:
            django_field(kind)
        except RollupInvalid as problem:
            raise file.wrong(f"the column {name} {problem}") from None
    for name in file.select.headers.key:
        if name not in names:
            near = ", ".join(closest_first(name, names))
            wrong = f"its key names the column {name}, which it does not have. Columns: {near}"
            raise _invalid(file.path, HeaderInvalid(wrong))


def _invalid(path: Path, problem: RollupInvalid | str) -> RollupInvalid:
    kind = type(problem) if isinstance(problem, RollupInvalid) else RollupInvalid
    return kind(f"Rollup {path}: {str(problem).rstrip('.')}.")
