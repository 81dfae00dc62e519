"""Holding after an incremental link: what was touched is judged, and what rests on it.

A row that was not touched has all it needs, as it had at the last load, unless the row that it
links to was touched and is gone, or rows of another source have changed. So these are looked for,
and no other row is read. Ends in the rows and the reasons that `holding.hold` gives for all rows
together: each step takes out what that one would.

Per model there are `linked_TABLE` (rows of the touched keys, as they should be), `keys_TABLE`
(these keys), and `before_TABLE` (their rows as last loaded); the latter two grow by what has to
wait from now on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
from django.db import models

from .columns import columns_of
from .copies import present_copy
from .holding import find_targets, hold_incomplete, make_held, take_out
from .layers import rows_in
from .models import Derived
from .neighbours import links_of
from .sql import quoted_name

Presents = Mapping[type[Derived], Path]
"""Model → its present copy."""


def find_rows_before(
    connection: duckdb.DuckDBPyConnection, model: type[Derived], present: Path
) -> None:
    """Make `before_TABLE` of the keys in `keys_TABLE`."""
    table, columns = model._meta.db_table, columns_of(model)
    where = f"SEMI JOIN keys_{table} USING ({_listed(columns.key)})"
    rows = rows_in(present, columns, where=where)
    connection.execute(
        f"CREATE TABLE before_{table} AS SELECT {_listed(columns.schema.names)} FROM ({rows})"
    )


def hold_touched(
    connection: duckdb.DuckDBPyConnection,
    derived: list[type[Derived]],
    source: str,
    presents: Presents,
    *,
    has_equal_targets: bool,
) -> None:
    """Make `held`, and take every row that waits out of what the source's rows should be.

    Unless it `has_equal_targets`, the rows of other sources have changed since the last load.
    """
    make_held(connection)
    for model in derived:
        hold_incomplete(connection, model, source)
    relations = [(model, relation) for model in derived for relation in links_of(model)]
    is_first = took = True
    while took:
        took = False
        for model, relation in relations:
            elsewhere = relation.target_field.model._meta.app_label != source
            step = _Step(connection, presents, source, model, relation)
            # Both are found before either is taken out: a row may link to one of its own table.
            touched = step.find_touched(elsewhere=elsewhere)
            if elsewhere:
                untouched = is_first and not has_equal_targets and step.find_all_untouched()
            else:
                untouched = step.find_untouched()
            if touched:
                took = step.take_out_touched() or took
            if untouched:
                step.take_out_untouched()
                took = True
        is_first = False


class _Step:
    """One relation of one model: what dangles there at this moment."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        presents: Presents,
        source: str,
        model: type[Derived],
        relation: "models.ForeignKey[Any, Any]",
    ) -> None:
        self._connection = connection
        self._presents = presents
        self._source = source
        self._model = model
        self._relation = relation
        self._table = model._meta.db_table
        self._column = quoted_name(str(relation.column))
        self._target: type[models.Model] = relation.target_field.model
        self._target_table = self._target._meta.db_table
        self._target_column = quoted_name(str(relation.target_field.column))

    def find_touched(self, *, elsewhere: bool) -> bool:
        """Make `sought` of the values that touched rows link to and that no row has."""
        self._make("sought", f"SELECT DISTINCT {self._column} FROM linked_{self._table}")
        if elsewhere:
            self._leave_out_present("sought", self._target_rows("sought"))
        else:
            self._leave_out_linked("sought")
            self._leave_out_untouched("sought")
        return self._has("sought")

    def find_untouched(self) -> bool:
        """Make `dangling` of the rows that link to a row which was touched and is gone."""
        self._make(
            "gone", f"SELECT DISTINCT {self._target_column} FROM before_{self._target_table}"
        )
        self._leave_out_linked("gone")
        self._leave_out_untouched("gone")
        if not self._has("gone"):
            return False
        self._make_dangling(f"SEMI JOIN gone ON {self._column} = _sought")
        return self._has("dangling")

    def find_all_untouched(self) -> bool:
        """Make `dangling` of the rows that link to a row which another source has no more."""
        present = rows_in(self._presents[self._model], columns_of(self._model))
        self._make("gone", f"SELECT DISTINCT {self._column} FROM ({present})")
        self._leave_out_present("gone", self._target_rows("gone"))
        self._make_dangling(f"SEMI JOIN gone ON {self._column} = _sought")
        return self._has("dangling")

    def take_out_touched(self) -> bool:
        """Hold the touched rows that link to what is `sought`."""
        return take_out(
            self._connection,
            self._model,
            self._relation.name,
            f"{self._column}::VARCHAR",
            f"{self._column} IN (SELECT _sought FROM sought)",
            self._source,
        )

    def take_out_untouched(self) -> None:
        """Hold the rows in `dangling`: from now on they count as touched, and as not there."""
        columns = columns_of(self._model)
        self._connection.execute(f"INSERT INTO before_{self._table} BY NAME FROM dangling")
        key = _listed(columns.key)
        self._connection.execute(f"INSERT INTO keys_{self._table} SELECT {key} FROM dangling")
        take_out(
            self._connection,
            self._model,
            self._relation.name,
            f"{self._column}::VARCHAR",
            "true",
            self._source,
            table="dangling",
        )

    def _make(self, name: str, query: str) -> None:
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS "
            f"SELECT * FROM ({query}) AS t (_sought) WHERE _sought IS NOT NULL"
        )

    def _make_dangling(self, where: str) -> None:
        names = _listed(columns_of(self._model).schema.names)
        rows = rows_in(self._presents[self._model], columns_of(self._model), where=where)
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE dangling AS SELECT {names} FROM ({rows}) "
            f"ANTI JOIN keys_{self._table} USING ({_listed(self._key(self._model))})"
        )

    def _leave_out_linked(self, name: str) -> None:
        self._leave_out_present(name, f"FROM linked_{self._target_table}")

    def _leave_out_untouched(self, name: str) -> None:
        if not self._has(name):
            return
        rows = self._target_rows(name)
        key = _listed(self._key(self._target))
        self._leave_out_present(
            name, f"SELECT * FROM ({rows}) ANTI JOIN keys_{self._target_table} USING ({key})"
        )

    def _target_rows(self, name: str) -> str:
        """The query for the target's rows as last loaded, those that have one of these values."""
        path = present_copy(self._target)
        if path is None:
            find_targets(self._connection, [self._target], {})
            return f"SELECT * FROM targets_{self._target_table}"
        where = f"SEMI JOIN {name} ON {self._target_column} = _sought"
        return rows_in(path, columns_of(self._target), where=where)

    def _leave_out_present(self, name: str, rows: str) -> None:
        self._connection.execute(
            f"DELETE FROM {name} WHERE _sought IN (SELECT {self._target_column} FROM ({rows}))"
        )

    def _has(self, name: str) -> bool:
        return bool(self._connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall())

    @staticmethod
    def _key(model: type[models.Model]) -> tuple[str, ...]:
        return columns_of(model).key


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(quoted_name(name) for name in names)
