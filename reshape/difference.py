"""The difference between the rows a table has and those it should have.

Both sides are relations with the model's columns; they are compared in DuckDB, so
a million rows that are as they should be cost no write.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from .columns import columns_of
from .equal_runs import EqualRuns
from .layers import base_of, rows_in, rows_to_compare
from .reading_apart import ReadAgain
from .sql import duck_type, empty_table, quoted_name
from .tables import ROWS_PER_BATCH, Scope, read_table

SAMPLE_SIZE = 5


@dataclass(slots=True, kw_only=True)
class Difference:
    """What changes in one table."""

    table: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    changed_by_column: dict[str, int] = field(default_factory=dict)
    """Column → in how many of the changed rows it differs; filled by `describe`."""
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """`added`, `changed`, `removed` → a few rows; of a changed one, what was and what is."""

    @property
    def total(self) -> int:
        return self.added + self.changed + self.removed


class Comparison:
    """One table compared: `live` (what it has) and `wanted` (what it should have)."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: type[models.Model],
        wanted: Path,
        live: "Path | pa.RecordBatchReader | None",
    ) -> None:
        """Compare the rows of the copy `wanted` with `live`.

        `live` is a copy, rows as `read_table` gives them, or None for no row. Of two copies that
        rest on one file, only the keys in which they may differ are looked at.
        """
        self.model = model
        self._connection = connection
        columns = columns_of(model)
        self._key = [quoted_name(name) for name in columns.key]
        self._names = [quoted_name(name) for name in columns.schema.names]
        self._others = [name for name in self._names if name not in self._key]
        self._is_partial = isinstance(live, Path)
        if isinstance(live, Path):
            ours, theirs = rows_to_compare(wanted, live, columns)
            self._view("wanted", self._columns_in(ours))
            self._view("live", self._columns_in(theirs))
        else:
            try:
                runs = self._take(wanted, live)
            except ReadAgain as again:
                runs = self._take(wanted, again.rows)
            self._view("live", "SELECT * FROM live_rows")
            if runs:
                self._fill("wanted_rows", runs.unmet())
                self._view("wanted", "SELECT * FROM wanted_rows")
            else:
                self._view("wanted", self._columns_in(rows_in(wanted, columns)))
        self.difference = Difference(table=model._meta.db_table)
        self.is_empty = not (self._is_partial or runs or self._count("live"))
        """Whether the live table has no row at all."""
        self._file = wanted
        self._compare()

    def _take(self, wanted: Path, live: pa.RecordBatchReader | None) -> EqualRuns | None:
        """Make the table `live_rows` of these, but for runs of rows that the copy has as well.

        Gives those runs, None where there are none.
        """
        runs = None
        if live is not None and base_of(wanted) is None:
            runs = EqualRuns.of(wanted, columns_of(self.model))
        rows = chain.from_iterable(map(runs.others, live)) if runs and live else live
        self._fill("live_rows", rows or ())
        return runs if runs and runs.has_met else None

    def _fill(self, name: str, rows: Iterable[pa.RecordBatch]) -> None:
        """Make a table of the model's columns with these rows."""
        self._connection.execute(empty_table(name, columns_of(self.model).schema))
        # Read here: DuckDB would pull from a thread in which Django has another connection.
        for batch in rows:
            self._connection.register("batch", batch)
            self._connection.execute(
                f"INSERT INTO {name} SELECT {', '.join(self._names)} FROM batch"
            )
            self._connection.unregister("batch")

    def _compare(self) -> None:
        """Make the views `added`, `changed` and `removed`, and count them."""
        if not self._count("live"):
            self.difference.added = self._count("wanted")
            self._view("added", "SELECT * FROM wanted")
            self._view("changed", "SELECT * FROM wanted LIMIT 0")
            self._view("removed", "SELECT * FROM live")
            return
        key, one = ", ".join(self._key), self._key[0]
        differs = " OR ".join(f"l.{n} IS DISTINCT FROM w.{n}" for n in self._others) or "false"
        self._connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE compared AS
            SELECT
                {key},
                CASE WHEN l.{one} IS NULL THEN 'added' WHEN w.{one} IS NULL THEN 'removed'
                    ELSE 'changed' END AS kind
            FROM wanted AS w FULL JOIN live AS l USING ({key})
            WHERE l.{one} IS NULL OR w.{one} IS NULL OR {differs}
            """
        )
        for kind, side in (("added", "wanted"), ("changed", "wanted"), ("removed", "live")):
            count = self._count(f"compared WHERE kind = '{kind}'")
            setattr(self.difference, kind, count)
            keys = f"(SELECT {key} FROM compared WHERE kind = '{kind}')"
            self._view(
                kind,
                f"SELECT * FROM {side} SEMI JOIN {keys} USING ({key})"
                if count
                else f"SELECT * FROM {side} LIMIT 0",
            )

    def rows_to_write(self) -> pa.RecordBatchReader:
        """The added and the changed rows, every column, in batches."""
        # In the order of the key: a database's index takes neighbours faster.
        if self.is_empty and (ordered := self._whole_file()):
            return ordered
        rows = self._connection.sql(
            f"SELECT * FROM (SELECT * FROM added UNION ALL SELECT * FROM changed) "
            f"ORDER BY {', '.join(self._key)}"
        )
        return rows.to_arrow_reader(ROWS_PER_BATCH)

    def _whole_file(self) -> pa.RecordBatchReader | None:
        """The copy as it lies there; None where it is no single file of these types."""
        schema = columns_of(self.model).schema
        if base_of(self._file):
            return None
        file = pq.ParquetFile(self._file)
        held = file.schema_arrow.remove_metadata()
        if held.names != schema.names or held.types != schema.types:
            return None
        batches = (batch.cast(schema) for batch in file.iter_batches(ROWS_PER_BATCH))
        return pa.RecordBatchReader.from_batches(schema, batches)

    def keys_to_delete(self) -> pa.RecordBatchReader:
        """The keys of the removed rows, in batches."""
        rows = self._connection.sql(f"SELECT {', '.join(self._key)} FROM removed")
        return rows.to_arrow_reader(ROWS_PER_BATCH)

    def describe(self, sample_size: int = SAMPLE_SIZE) -> Difference:
        """The difference with samples, so many of each kind, and counts per column."""
        order = ", ".join(self._key)
        for kind in ("added", "removed"):
            rows = self._table(f"SELECT * FROM {kind} ORDER BY {order} LIMIT {sample_size}")
            self.difference.samples[kind] = rows.to_pylist()
        self.difference.samples["changed"] = list(self._changes(order, sample_size))
        joined = f"changed AS w JOIN live AS l USING ({order})"
        for name in self._others:
            if count := self._count(f"{joined} WHERE l.{name} IS DISTINCT FROM w.{name}"):
                self.difference.changed_by_column[name.strip('"')] = count
        return self.difference

    def _changes(self, order: str, sample_size: int) -> Iterator[dict[str, Any]]:
        rows = self._table(
            f"SELECT * FROM changed ORDER BY {order} LIMIT {sample_size}"
        ).to_pylist()
        before = self._table(
            f"SELECT live.* FROM live SEMI JOIN "
            f"(SELECT * FROM changed ORDER BY {order} LIMIT {sample_size}) USING ({order}) "
            f"ORDER BY {order}"
        ).to_pylist()
        names = [name.strip('"') for name in self._key]
        # By key: a copy that is damaged may have one twice.
        known = {tuple(was[name] for name in names): was for was in before}
        for is_now in rows:
            key = {name: is_now[name] for name in names}
            was = known[tuple(key.values())]
            changes = {
                name: {"was": was[name], "is": value}
                for name, value in is_now.items()
                if was[name] != value
            }
            yield {"key": key, "changes": changes}

    def _columns_in(self, rows: str) -> str:
        """The query for the rows of a copy, in the model's types."""
        columns = ", ".join(
            f"CAST({name} AS {duck_type(field.type)}) AS {name}"
            for name, field in zip(self._names, columns_of(self.model).schema, strict=True)
        )
        return f"SELECT {columns} FROM ({rows})"

    def _view(self, name: str, query: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def _count(self, relation: str) -> int:
        ((count,),) = self._connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
        return int(count)

    def _table(self, query: str) -> pa.Table:
        table: pa.Table = self._connection.sql(query).to_arrow_table()
        return table


def live_rows(
    database: BaseDatabaseWrapper,
    model: type[models.Model],
    source: str,
    *,
    is_committed: bool = True,
) -> pa.RecordBatchReader:
    """The rows of a table that belong to `source`, as the serving database has them.

    `is_committed` says that the transaction at hand, if there is one, has not changed them. A row
    with a value that its column cannot hold is unlike any that should be (`reshape.mistyped`).
    """
    scope = Scope(column="source", value=source) if is_shared(model) else None
    return read_table(database, model, scope, is_committed=is_committed, is_compared=True)


def is_shared(model: type[models.Model]) -> bool:
    """Whether the sources share the model's table, each owning its part."""
    return model._meta.app_label == "reshape"
