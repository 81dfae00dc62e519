"""Find the transforms in SQL: each `transforms/MODEL.sql` of a source is one.

They are found once, when Django has loaded all apps. A broken file does not stop the
program: `manage.py check` reports it as `reshape.E009`, and a replay of its source refuses to
start.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
from django.apps import apps
from django.conf import settings

from raw_store import feeds
from raw_store.errors import closest_first

from .columns import columns_of
from .errors import TransformInvalid
from .models import Derived, derived_models
from .registry import Transform, forget, register
from .sql_columns import TypeRefused
from .sql_statement import (
    LINEAGE,
    RELATION,
    Statement,
    StatementRefused,
    line_of,
    parse_statement,
    tree_of,
)
from .sql_transform import OPTIONAL_COLUMNS, PAYLOADS, Select, conversions_of

_HEADER = re.compile(r"--\s*(feed|name)\s*:\s*(.*?)\s*", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME = re.compile(r"[a-z](_?[a-z0-9])*")
# These hand on rows in the order in which they get them.
_IN_ORDER = frozenset({"PROJECTION", "FILTER", "UNNEST", "PYTHON_ARROW_SCAN"})

_found: list[str] = []
_problems: dict[str, list[TransformInvalid]] = {}


def find_sql_transforms() -> None:
    """Register the transforms in SQL of the installed sources, in place of those found before."""
    for name in _found:
        forget(name)
    _found.clear()
    _problems.clear()
    for source, path in _files():
        try:
            transform = read_transform(source, path)
            register(transform)
        except TransformInvalid as problem:
            _problems.setdefault(source, []).append(problem)
        except ValueError as problem:
            _problems.setdefault(source, []).append(_invalid(path, 1, str(problem)))
        else:
            _found.append(transform.name)


def problems() -> list[TransformInvalid]:
    """What is wrong with the sources' SQL files, one error for each file."""
    return [problem for source in sorted(_problems) for problem in _problems[source]]


def refuse_broken(source: str) -> None:
    """Raise `TransformInvalid` when a transform of the source is broken."""
    for problem in _problems.get(source, []):
        raise problem


def read_transform(source: str, path: Path) -> Transform:
    """Read one file. Raises `TransformInvalid`, naming file and line."""
    try:
        sql = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _invalid(path, 1, "it is not UTF-8 text") from None
    file = _File(source, path, sql)
    try:
        select = file.select()
    except StatementRefused as refused:
        raise _invalid(path, refused.line, str(refused)) from None
    return Transform(
        name=file.name(), feed=file.feed(), function=select, code_digest=select.code_digest
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A transform's file on its way to become a `Transform`."""

    source: str
    path: Path
    sql: str

    def feed(self) -> str:
        line, feed = self._header("feed")
        if not feed:
            known = [each.name for each in feeds.all_feeds() if each.source == self.source]
            listed = ", ".join(known) or "none yet"
            raise StatementRefused(
                f"it does not say whose payloads it reads; begin it with a line "
                f"`-- feed: {self.source}.NAME`. Feeds of {self.source}: {listed}",
                line,
            )
        if feed.partition(".")[0] != self.source or not feed.partition(".")[2]:
            raise StatementRefused(
                f"it reads the feed {feed!r}, and gives rows of {self.source}; write a feed of "
                f"this source, `-- feed: {self.source}.NAME`",
                line,
            )
        return feed

    def name(self) -> str:
        line, name = self._header("name")
        name = name or _CAMEL.sub("_", self.path.stem.replace(".", "_")).lower()
        if not _NAME.fullmatch(name):
            raise StatementRefused(
                f"{name!r} cannot name a transform; use lower-case letters, digits and single "
                "underscores",
                line,
            )
        return f"{self.source}.{name}"

    def model(self) -> type[Derived]:
        wanted = self.path.stem.partition(".")[0]
        known = {model.__name__: model for model in derived_models(self.source)}
        for name, model in known.items():
            if name.lower() == wanted.replace("_", "").lower():
                return model
        near = ", ".join(closest_first(wanted, known)[:5]) or "none yet"
        raise StatementRefused(
            f"its name says that it gives rows of {wanted!r}, and {self.source} has no such "
            f"model. Models, closest first: {near}"
        )

    def select(self) -> Select:
        self.feed()
        self.name()
        model = self.model()
        config = {"enable_external_access": False, "python_enable_replacements": False}
        with duckdb.connect(config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            statement = parse_statement(connection, self.sql)
            columns = self._columns(connection, self.sql)
            if self._columns(connection, statement.normalised) != columns:
                raise StatementRefused(
                    "DuckDB writes it down in another way than it reads it; write it more simply"
                )
            self._check_columns(connection, model, columns)
            return Select(
                path=str(self.path),
                model_label=model._meta.label,
                statement=statement.normalised,
                columns=tuple(columns),
                reads=frozenset(
                    name for name in OPTIONAL_COLUMNS if self._reads(connection, name, columns)
                ),
                keeps_order=_keeps_order(connection, statement),
                is_ordered=statement.is_ordered,
            )

    def _header(self, key: str) -> tuple[int, str]:
        """The line and the value of `-- key: value` among the leading comments."""
        for number, line in enumerate(self.sql.splitlines(), start=1):
            line = line.strip()
            if line and not line.startswith("--"):
                break
            found = _HEADER.fullmatch(line)
            if found and found[1].lower() == key:
                return number, found[2]
        return 1, ""

    def _columns(
        self, connection: duckdb.DuckDBPyConnection, sql: str, without: str = ""
    ) -> list[tuple[str, str]]:
        _declare(connection, without)
        try:
            found = connection.execute(f"DESCRIBE {sql}").fetchall()
        except duckdb.Error as error:
            raise StatementRefused(f"DuckDB cannot plan it: {error}", line_of(error)) from None
        return [(str(row[0]), str(row[1])) for row in found]

    def _reads(
        self, connection: duckdb.DuckDBPyConnection, name: str, columns: list[tuple[str, str]]
    ) -> bool:
        try:
            return self._columns(connection, self.sql, without=name) != columns
        except StatementRefused:
            return True

    def _check_columns(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: type[Derived],
        columns: list[tuple[str, str]],
    ) -> None:
        kinds = dict(columns)
        target = columns_of(model)
        lines = self._lines(connection, columns)
        for name, _ in columns:
            if [each for each, _ in columns].count(name) > 1:
                raise StatementRefused(f"two of its columns are called {name}", lines[name])
            if name not in target.names and name != LINEAGE:
                near = ", ".join(closest_first(name, target.names)[:3])
                raise StatementRefused(
                    f"it returns the column {name!r}, which {model.__name__} does not have; "
                    f"the closest are {near}",
                    lines[name],
                )
        last = max(lines.values())
        if kinds.get(LINEAGE) != "VARCHAR":
            raise StatementRefused(
                f"it does not return {LINEAGE}, by which a row is traced to its payload; select "
                f"{RELATION}.{LINEAGE} beside the model's columns",
                last,
            )
        for column in target.given:
            if column.name not in kinds and column.is_required:
                what = "key column" if column.name in target.key else "column"
                raise StatementRefused(
                    f"it does not return the {what} {column.name} of {model.__name__}, which "
                    "every row must have",
                    last,
                )
            if column.name in kinds:
                try:
                    conversions_of(model, {column.name: kinds[column.name]})
                except TypeRefused as refused:
                    raise StatementRefused(
                        f"its column {column.name} does not fit {model.__name__}: "
                        + str(refused).replace("said.", ""),
                        lines[column.name],
                    ) from None

    def _lines(
        self, connection: duckdb.DuckDBPyConnection, columns: list[tuple[str, str]]
    ) -> dict[str, int]:
        """Column → the line that gives it; where a star does, the statement's first line."""
        items = tree_of(connection, self.sql)["statements"][0]["node"].get("select_list", [])
        text = self.sql.encode()
        at = [text[: _start(item, len(text))].count(b"\n") + 1 for item in items]
        if len(at) == len(columns):
            return {name: line for (name, _), line in zip(columns, at, strict=True)}
        return {name: at[0] if at else 1 for name, _ in columns}


def _start(item: dict[str, object], end: int) -> int:
    where = item.get("query_location", 0)
    return where if isinstance(where, int) and where <= end else 0


def _declare(connection: duckdb.DuckDBPyConnection, without: str = "") -> None:
    """Make `payloads` a table of one row of nulls, or the same without a column."""
    schema = pa.schema([field for field in PAYLOADS if field.name != without])
    connection.register(RELATION, pa.table([pa.nulls(1, each.type) for each in schema], schema))


def _keeps_order(connection: duckdb.DuckDBPyConnection, statement: Statement) -> bool:
    _declare(connection)
    plan = connection.execute(f"EXPLAIN (FORMAT json) {statement.normalised}").fetchall()[0][1]
    waiting = orjson.loads(plan)
    while waiting:
        operator = waiting.pop()
        if operator["name"] not in _IN_ORDER:
            return False
        waiting += operator["children"]
    return True


def _files() -> Iterator[tuple[str, Path]]:
    names = set(settings.SOURCE_APPS)
    for config in sorted(apps.get_app_configs(), key=lambda config: config.label):
        dotted = f"{type(config).__module__}.{type(config).__name__}"
        if config.name in names or dotted in names:
            for path in sorted((Path(config.path) / "transforms").glob("*.sql")):
                yield config.label, path


def _invalid(path: Path, line: int, problem: str) -> TransformInvalid:
    return TransformInvalid(f"Transform {path}, line {line}: {problem.rstrip('.')}.")
