"""An incremental link: only the natural keys that new payloads touch are linked again.

    new segments → the requests they fetch → versions of these requests that are new, gone, or
    current no more → the natural keys their records mention → all records of these keys

What link makes of those keys is held where it must wait, with what rests on it
(`reshape.holding_touched`), and takes their place in the copies (`reshape.layers`). No other row is
read. The result equals that of linking everything: a request's versions depend on its own fetches
alone, and a key's row on its own records.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection as database
from django.db import models

from raw_store import feeds
from raw_store.archive import Archive
from raw_store.captures import Captures, complete_runs
from raw_store.models import Segment

from .columns import columns_of
from .copies import present_copy
from .link_state import STARTS, captures_of, note, starts_of
from .lists import list_fields
from .merging import record_columns
from .models import Derived, HeldRow, QuarantineEntry, derived_models
from .readings import Reading, find_outcomes, present_reading
from .registry import Transform, transforms_of
from .sql import duck_type, empty_table, quoted_name
from .tables import Scope, read_table
from .versions import COMPACTED, find_current, find_sightings


def can_extend(source: str) -> bool:
    """Whether the source's rows can be linked key by key.

    Not where a row may bring rows of another table (many-to-many lists), nor where what counts is
    judged over everything (rows in quarantine, quarantine limits), nor without the present copies.
    """
    derived = derived_models(source)
    return (
        not any(list_fields(model) for model in derived)
        and all(
            each.bad_rows == "payload" and feeds.get(each.feed).quarantine_limit is None
            for each in transforms_of(source)
        )
        and all(present_copy(model) for model in derived)
    )


@dataclass(slots=True)
class Touched:
    """What the new segments of one feed touch; the tables are numbered by it."""

    feed: str
    number: int
    segments: list[Segment]
    """The new ones."""
    complete_runs: set[str]
    """Those that the new segments say are complete."""
    transforms: list[Transform] = field(default_factory=list)

    @property
    def captures(self) -> str:
        """The new fetches, compacted."""
        return f"new_captures_{self.number}"

    @property
    def requests(self) -> str:
        """The requests whose versions are found anew."""
        return f"requests_{self.number}"

    def starts(self, transform: Transform) -> str:
        """The versions of these requests."""
        return f"new_starts_{self.number}_{self.transforms.index(transform)}"


def touch(
    connection: duckdb.DuckDBPyConnection,
    archive: Archive,
    feed: feeds.Feed,
    number: int,
    segments: list[Segment],
) -> Touched:
    """Find what new segments touch: makes `captures` and `sightings` of the requests they fetch.

    Raises `SegmentCorrupt`.
    """
    new = Captures(archive.url).table(segments, None)
    touched = Touched(feed.name, number, segments, _complete_runs(segments, new))
    state = captures_of(feed.name)
    connection.register("archived", new)
    connection.execute(
        f"""
        CREATE TABLE {touched.captures} AS {COMPACTED.format(captures="archived")};
        DELETE FROM {touched.captures} WHERE fetch_id IN (
            SELECT fetch_id FROM {state} SEMI JOIN {touched.captures} USING (fetch_id)
        )
        """
    )
    connection.unregister("archived")
    # Which requests a complete run lists bears on all of them.
    every = f"SELECT request_key FROM {touched.captures}"
    if feed.current == "run":
        every += f" UNION ALL SELECT request_key FROM {state}"
    connection.execute(f"CREATE TABLE {touched.requests} AS SELECT DISTINCT * FROM ({every})")
    complete = sorted(touched.complete_runs)
    connection.execute("DROP VIEW IF EXISTS captures")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE captured AS
        WITH complete AS (
            SELECT run_id FROM state.complete_runs WHERE feed = $feed
            UNION SELECT unnest($complete)::UUID
        )
        SELECT *, run_id IN (SELECT run_id FROM complete) AS run_is_complete
        FROM (SELECT * FROM {state} UNION ALL SELECT * FROM {touched.captures})
        SEMI JOIN {touched.requests} USING (request_key)
        """,
        {"feed": feed.name, "complete": complete},
    )
    connection.execute("CREATE TEMP VIEW captures AS SELECT * FROM captured")
    find_sightings(connection, None)
    connection.execute("INSERT INTO judged_anew SELECT fetch_id FROM captures")
    return touched


def compare(
    connection: duckdb.DuckDBPyConnection,
    archive: Archive,
    touched: Touched,
    transform: Transform,
    derived: Collection[type[Derived]],
) -> None:
    """Find the versions that changed for a transform, and add the keys that their records mention
    to `keys_TABLE`. Makes `outcomes` and `current` of the touched requests."""
    touched.transforms.append(transform)
    feed = feeds.get(touched.feed)
    find_outcomes(connection, transform, archive, within=_segments_of(connection, "captures"))
    find_current(connection, feed, None)
    starts = touched.starts(transform)
    columns = "fetch_id, fetched_at, sequence, is_current"
    connection.execute(f"CREATE TABLE {starts} AS {STARTS}")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changed AS
        WITH old AS (
            SELECT {columns} FROM {starts_of(transform.name)} SEMI JOIN {touched.requests}
                USING (request_key)
        ),
        new AS (SELECT {columns} FROM {starts})
        SELECT DISTINCT fetch_id::VARCHAR AS fetch_id
        FROM ((FROM old EXCEPT FROM new) UNION ALL (FROM new EXCEPT FROM old))
        """
    )
    within = _segments_of(connection, "captures SEMI JOIN changed USING (fetch_id)")
    reading = present_reading(transform, archive, within)
    for model in derived:
        if files := reading.files(model._meta.db_table):
            key = _listed(columns_of(model).key)
            connection.execute(
                f"""
                INSERT INTO {keys_of(model)}
                SELECT DISTINCT {key} FROM read_parquet($files) SEMI JOIN changed USING (fetch_id)
                """,
                {"files": [str(path) for path in files]},
            )


def find_held_keys(
    connection: duckdb.DuckDBPyConnection, source: str, derived: Iterable[type[Derived]]
) -> None:
    """Add the keys of the rows that wait: what they wait for may be there now."""
    by_label = {model._meta.label: model for model in derived}
    held: dict[str, list[list[str]]] = {}
    rows = HeldRow.objects.filter(source=source).values_list("model", "key").distinct()
    for label, key in rows.iterator():
        held.setdefault(label, []).append(orjson.loads(key))
    for label, keys in held.items():
        columns = columns_of(by_label[label])
        texts = pa.table(
            {name: [key[place] for key in keys] for place, name in enumerate(columns.key)}
        )
        connection.register("held_keys", texts)
        typed = ", ".join(
            f"{quoted_name(name)}::{duck_type(columns.schema.field(name).type)}"
            for name in columns.key
        )
        connection.execute(f"INSERT INTO {keys_of(by_label[label])} SELECT {typed} FROM held_keys")
        connection.unregister("held_keys")


def collect(
    connection: duckdb.DuckDBPyConnection,
    archive: Archive,
    transform: Transform,
    touched: Touched | None,
    derived: Iterable[type[Derived]],
) -> None:
    """Fill `records_TABLE` with what a transform says about the keys in `keys_TABLE`."""
    columns = "fetch_id, request_key, fetched_at, sequence, is_current"
    starts = f"""
        SELECT {columns} FROM {starts_of(transform.name)}
        SEMI JOIN (SELECT _fetch_id FROM mentioned) ON fetch_id = _fetch_id
    """
    if touched:
        starts = f"""
            SELECT {columns} FROM ({starts}) ANTI JOIN {touched.requests} USING (request_key)
            UNION ALL SELECT {columns} FROM {touched.starts(transform)}
        """
    reading = present_reading(transform, archive)
    for model in derived:
        files = _files_with(connection, model, reading)
        if not files:
            continue
        said = ", ".join(f"r.{quoted_name(name)}" for name in record_columns(model))
        # The few records first, so that of the versions only theirs are sought.
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE mentioned AS
            SELECT *, fetch_id::UUID AS _fetch_id
            FROM read_parquet($files) SEMI JOIN {keys_of(model)}
                USING ({_listed(columns_of(model).key)})
            """,
            {"files": files},
        )
        connection.execute(
            f"""
            INSERT INTO records_{model._meta.db_table}
            SELECT {said}, r.fetch_id, s.fetched_at, s.sequence, $transform, r._ordinal,
                   s.is_current
            FROM mentioned AS r JOIN ({starts}) AS s ON s.fetch_id = r._fetch_id
            """,
            {"transform": transform.name},
        )


def _files_with(
    connection: duckdb.DuckDBPyConnection, model: type[Derived], reading: Reading
) -> list[str]:
    """The record files that mention one of the keys in `keys_TABLE`.

    Their other columns are not read for it: there may be a thousand files, and few of them do.
    """
    files = reading.files(model._meta.db_table)
    if not files or not _count(connection, keys_of(model)):
        return []
    key = _listed(columns_of(model).key)
    rows = connection.execute(
        f"""
        SELECT DISTINCT _file FROM read_parquet($files, filename = '_file')
        SEMI JOIN {keys_of(model)} USING ({key})
        """,
        {"files": [str(path) for path in files]},
    ).fetchall()
    return sorted(file for (file,) in rows)


def keep_quarantine(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Add to `quarantine` the entries of fetches that were not judged anew."""
    schema = columns_of(QuarantineEntry).schema
    names = _listed(schema.names)
    for batch in read_table(database, QuarantineEntry, Scope(column="source", value=source)):
        connection.register("batch", batch)
        connection.execute(
            f"""
            INSERT INTO quarantine BY NAME
            SELECT {names} FROM batch ANTI JOIN judged_anew USING (fetch_id)
            """
        )
        connection.unregister("batch")


def extend_state(
    connection: duckdb.DuckDBPyConnection, every: Iterable[Touched], inputs: str
) -> None:
    """Write what was learned into the state, in one transaction."""
    connection.execute("BEGIN")
    for touched in every:
        connection.execute(
            f"INSERT INTO {captures_of(touched.feed)} SELECT * FROM {touched.captures}"
        )
        for transform in touched.transforms:
            table = starts_of(transform.name)
            connection.execute(
                f"DELETE FROM {table} "
                f"WHERE request_key IN (SELECT request_key FROM {touched.requests})"
            )
            connection.execute(f"INSERT INTO {table} SELECT * FROM {touched.starts(transform)}")
        names = [segment.name for segment in touched.segments]
        note(connection, "state", touched.feed, names, touched.complete_runs)
    connection.execute("UPDATE state.about SET inputs = ?", [inputs])
    connection.execute("COMMIT")


def make_keys(connection: duckdb.DuckDBPyConnection, model: type[Derived]) -> None:
    """Make an empty `keys_TABLE`."""
    columns = columns_of(model)
    schema = pa.schema([columns.schema.field(name) for name in columns.key])
    connection.execute(empty_table(keys_of(model), schema))


def keys_of(model: type[models.Model]) -> str:
    """The name of a model's table of keys to be linked again. A key may be there twice."""
    return f"keys_{model._meta.db_table}"


def _complete_runs(segments: Iterable[Segment], captures: pa.Table) -> set[str]:
    found: set[str] = set()
    for segment in segments:
        of_segment = captures.filter(pc.equal(captures["segment"], segment.name))
        found |= complete_runs(segment, of_segment["run_id"])
    return found


def _segments_of(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    rows = connection.execute(f"SELECT DISTINCT segment FROM {relation} ORDER BY 1").fetchall()
    return [segment for (segment,) in rows]


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted_name(name) for name in names)
