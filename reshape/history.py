"""History: every state a row has had, from the record files of all versions.

At any moment a row is what `link` chooses: the newest record among the versions that
count then. So its states are the winners of a sweep over time:

    records       what each version says of the row, in the order in which link ranks them
    series        unbroken records that say the same: one state, known by its first record
    spans         when each version counts (`spans.find_spans`); united per series
    states        at each moment the newest series whose span holds it

A state ends when another begins, or when the row is gone: its page answers 404 or 410, a
newer complete listing leaves it out, or a version that no longer mentions it takes the place.

Held rows are states too: whether the target of a link was there is not asked. So are the links
that the rows of another model list (`reshape.listed_history`).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import pyarrow as pa
from django.db import models

from raw_store import feeds
from raw_store.archive import Archive

from .columns import columns_of
from .errors import HistoryUnknown
from .listed_history import add_listed, owners_of
from .lists import kind_of, list_columns
from .merged_history import choose_merged
from .merging import linked_names, ranks_of, record_columns
from .models import Derived
from .parse import parse_segments
from .readings import find_outcomes
from .records import record_schema
from .registry import transforms_of
from .rejected import duck_text
from .spans import find_spans
from .sql import duck, duck_type, empty_table, quoted, quoted_name
from .sweep import find_lives, find_winners
from .versions import find_versions

logger = logging.getLogger(__name__)

VALID_FROM, VALID_TO = "valid_from", "valid_to"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a row was for a while."""

    values: dict[str, Any]
    """Column → value, as columnar copies hold it: JSON as text, UUIDs as text."""
    valid_from: datetime
    """The fetch (or the end of the run) since which it was so; this moment included."""
    valid_to: datetime | None
    """When it ceased to be so, this moment not included; None while it is so."""
    fetch_id: UUID
    """The fetch whose payload first said so."""

    @property
    def lasted(self) -> timedelta | None:
        """For how long; None while it lasts."""
        return self.valid_to - self.valid_from if self.valid_to else None


def history(model: type[Derived], key: Any, *, archive: Archive | None = None) -> list[State]:
    """Every state of the row with this natural key, in the order of time.

    `key` is a value, or a tuple of them for a composite key; text is read as the column's
    type. What the present transforms have not read yet is parsed first. An unknown key has
    no state. Raises `HistoryUnknown` for a key that the model's column cannot hold.
    """
    with _states(model, archive or Archive(), _key_values(model, key)) as connection:
        rows = (
            connection.sql(f"SELECT {_told(model)} FROM states ORDER BY {VALID_FROM}")
            .to_arrow_table()
            .to_pylist()
        )
    return [
        State(
            valid_from=row.pop(VALID_FROM),
            valid_to=row.pop(VALID_TO),
            fetch_id=UUID(row.pop("fetch_id")),
            values=row,
        )
        for row in rows
    ]


def write_history(model: type[Derived], path: Path, *, archive: Archive | None = None) -> int:
    """Write every state of every row as a Parquet file; return how many there are.

    Columns: the model's, `fetch_id` among them, then `valid_from` and `valid_to` (null while it
    lasts); ordered by key and time. The file is there whole or not at all; one that is there
    already is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    order = ", ".join([*map(quoted_name, columns_of(model).key), VALID_FROM])
    try:
        with _states(model, archive or Archive(), None) as connection:
            ((count,),) = connection.execute(
                f"COPY (SELECT {_told(model)} FROM states ORDER BY {order}) "
                f"TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd)"
            ).fetchall()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return int(count)


@contextmanager
def _states(
    model: type[Derived], archive: Archive, key: list[str] | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the table `states`: of one row, or with no key of them all.

    Its columns: those of the linked table, lists included, then `valid_from` and `valid_to`.
    """
    taken = {VALID_FROM, VALID_TO} & set(columns_of(model).schema.names)
    if taken:
        raise HistoryUnknown(
            f"{model._meta.label} has a column {taken.pop()!r} of its own, which history needs. "
            "Call the model's column something else."
        )
    # A compaction between two steps must not change which segments they speak of.
    archive = archive.pinned()
    transforms = transforms_of(model._meta.app_label)
    parse_segments(transforms, archive)
    with duck() as connection:
        connection.execute(empty_table("records", _schema(model)))
        connection.execute(empty_table("counted", _SPANS))
        for feed_name in sorted({transform.feed for transform in transforms}):
            find_versions(
                connection,
                archive,
                feed_name,
                None,
                on_damaged=lambda error: logger.error("segment damaged: %s", error),
            )
            for transform in transforms:
                if transform.feed == feed_name:
                    reading = find_outcomes(connection, transform, archive)
                    find_spans(connection, feeds.get(feed_name))
                    files = reading.files(model._meta.db_table)
                    _add_records(connection, model, transform.name, files, key)
        if columns_of(model).merges_fields:
            feed_of = {transform.name: transform.feed for transform in transforms}
            choose_merged(connection, columns_of(model), ranks_of(model, feed_of))
        else:
            _choose(connection, model)
        for owner, field in owners_of(model):
            place = columns_of(model).key.index(list_columns(field)[0].name)
            with _states(owner, archive, None if key is None else [key[place]]) as of_owner:
                add_listed(connection, field, of_owner, key)
        yield connection


def _told(model: type[Derived]) -> str:
    """The columns of a state that are told."""
    return ", ".join(map(quoted_name, [*columns_of(model).schema.names, VALID_FROM, VALID_TO]))


def _add_records(
    connection: duckdb.DuckDBPyConnection,
    model: type[Derived],
    transform: str,
    files: list[Path],
    key: list[str] | None,
) -> None:
    columns = columns_of(model)
    connection.execute(
        "INSERT INTO counted SELECT $transform, fetch_id, valid_from, valid_to FROM spans",
        {"transform": transform},
    )
    if not files:
        return
    given = ", ".join(f"r.{quoted_name(name)}" for name in record_columns(model))
    parameters: dict[str, Any] = {
        "transform": transform,
        "files": [str(path) for path in files],
    }
    where = ""
    if key is not None:
        where = "WHERE " + " AND ".join(
            f"r.{quoted_name(name)} = $key{at}::{duck_type(columns.schema.field(name).type)}"
            for at, name in enumerate(columns.key)
        )
        parameters |= {f"key{at}": value for at, value in enumerate(key)}
    connection.execute(
        f"""
        INSERT INTO records
        SELECT {given}, r.fetch_id, s.fetched_at, s.sequence, $transform, r._ordinal
        FROM read_parquet($files) AS r
        JOIN sightings AS s
            ON s.fetch_id = r.fetch_id AND s.is_start AND s.payload_id IS NOT NULL
        {where}
        """,
        parameters,
    )


def _choose(connection: duckdb.DuckDBPyConnection, model: type[Derived]) -> None:
    """Make `states` of `records` and `counted`."""
    columns = columns_of(model)
    find_lives(connection, columns)
    find_winners(connection)
    names = ", ".join(f"r.{quoted_name(name)}" for name in linked_names(columns))
    connection.execute(
        f"""
        CREATE TABLE states AS
        SELECT
            {names},
            w.valid_from AS {VALID_FROM},
            nullif(w.valid_to, 'infinity'::TIMESTAMPTZ) AS {VALID_TO}
        FROM winners AS w
        JOIN placed AS p ON p._place = w._since
        JOIN records AS r ON r.rowid = p._record
        """
    )


_SPANS = pa.schema(
    [
        ("transform", pa.string()),
        ("fetch_id", pa.string()),
        ("valid_from", pa.timestamp("us", tz="UTC")),
        ("valid_to", pa.timestamp("us", tz="UTC")),
    ]
)


def _schema(model: type[Derived]) -> pa.Schema:
    return pa.schema(
        [
            *[record_schema(model).field(name) for name in record_columns(model)],
            pa.field("fetch_id", pa.string()),
            pa.field("_fetched_at", pa.timestamp("us", tz="UTC")),
            pa.field("_sequence", pa.int64()),
            pa.field("_transform", pa.string()),
            pa.field("_ordinal", pa.int32()),
        ]
    )


def _key_values(model: type[models.Model], key: Any) -> list[str]:
    """The key as text, which each column's type can read."""
    columns = columns_of(model)
    given = list(key) if isinstance(key, tuple | list) else [key]
    listed = ", ".join(columns.key)
    if len(given) != len(columns.key):
        raise HistoryUnknown(
            f"The natural key of {model._meta.label} is {listed}: "
            f"give {len(columns.key)} value(s), not {len(given)}."
        )
    values = [duck_text(value) for value in given]
    uuids = {column.name for column in columns.given if kind_of(column) == "UUID"}
    with duck() as connection:
        for at, (name, value) in enumerate(zip(columns.key, values, strict=True)):
            # Records hold UUIDs as text, written in the one usual way.
            kind = "UUID" if name in uuids else duck_type(columns.schema.field(name).type)
            try:
                found = connection.execute(f"SELECT $value::{kind}", {"value": value}).fetchall()
                if name in uuids:
                    values[at] = str(found[0][0])
            except duckdb.ConversionException as error:
                raise HistoryUnknown(
                    f"{name} of {model._meta.label} is a {kind}, which {value!r} is not. "
                    f"Its natural key is {listed}."
                ) from error
    return values
