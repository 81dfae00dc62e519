"""Link: the query over record files that says what every row should be now.

The records of the current versions are merged into one row per natural key
(`reshape.merging`); a row that lacks what it needs is held (`reshape.holding`). The
result is one Parquet file per model, its columnar copy, and depends on the archive and
the transforms alone, and on the rows of other sources where rows link to them.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from django.db import models

from raw_store import feeds
from raw_store.archive import Archive
from raw_store.errors import SegmentCorrupt

from .columns import columns_of
from .copies import present_copy
from .holding import Targets, find_targets, hold
from .holding_touched import find_rows_before, hold_touched
from .increment import (
    Touched,
    can_extend,
    collect,
    compare,
    extend_state,
    find_held_keys,
    keep_quarantine,
    make_keys,
    touch,
)
from .inputs import differ_in_facts_alone, have_equal_targets
from .layers import write_changes, write_copy
from .limits import Measure, measure
from .link_state import known_state, new_segments, new_state
from .merging import choose, empty_records, record_columns, spread_lists
from .models import Derived, HeldRow, QuarantineEntry, derived_models
from .neighbours import targets_elsewhere
from .readings import Reading, find_outcomes, told_records
from .registry import Transform, transforms_of
from .rejected import collect_rejected
from .sql import duck, empty_table, quoted_name
from .versions import find_current, find_versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """A version that gave no row where the one before it gave some: perhaps drift."""

    transform: str
    fetch_id: str
    url: str
    record_count_before: int


@dataclass(slots=True, kw_only=True)
class Linked:
    """What every row of a source should be."""

    source: str
    copies: dict[type[models.Model], Path]
    """Model → Parquet file of its rows. Quarantine entries and held rows are among them."""
    row_counts: dict[str, int]
    """Table → rows."""
    held_count: int = 0
    quarantined_count: int = 0
    """Payloads and rows in quarantine."""
    rejected_count: int = 0
    """The rows among them."""
    measures: list[Measure] = field(default_factory=list)
    """Per transform, how much of what is newest it could not read."""
    emptied: list[Emptied] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """The segments that cannot be read, and why."""
    lacks_records: bool = False
    """Whether record files hold less than the outcomes beside them tell of."""


def link(
    source: str,
    archive: Archive,
    *,
    as_of: datetime | None = None,
    targets: Targets = MappingProxyType({}),
    readings: Mapping[str, Reading] = MappingProxyType({}),
    inputs: str = "",
    since: str = "",
) -> Linked:
    """Return what every row of `source` should be, from what is archived and parsed.

    With `as_of`, from the fetches up to that moment. Links into other sources are judged by the
    rows in `targets`, or as these sources were last loaded. `readings` says for transforms, by
    name, which record files speak for them; for the others, those of the present code.

    With `inputs` (`reshape.inputs`), for rows that are about to be loaded, what is learned is kept
    for the next link. `since` names the inputs of the last load: what was learned then is built
    upon, and only keys that were touched since are linked, where that can be done.
    """
    if since and differ_in_facts_alone(since, inputs) and can_extend(source):
        extended = _extend(source, archive, inputs, since)
        if extended:
            return extended
    with duck() as connection, ExitStack() as stack:
        state = stack.enter_context(new_state(connection, source)) if inputs else None
        linked = Linked(source=source, copies={}, row_counts={})
        transforms = transforms_of(source)
        derived = derived_models(source)
        for model in derived:
            connection.execute(empty_records(model))
        connection.execute(empty_table("quarantine", _quarantine_schema()))
        for feed_name in sorted({transform.feed for transform in transforms}):
            feed = feeds.get(feed_name)
            find_versions(
                connection,
                archive,
                feed_name,
                as_of,
                on_damaged=lambda error: linked.damaged.append(str(error)),
            )
            if state:
                state.learn_feed(feed_name, archive.segments(feed_name))
            for transform in transforms:
                if transform.feed == feed_name:
                    reading = readings.get(transform.name)
                    _collect(connection, transform, feed, archive, as_of, derived, linked, reading)
                    if state:
                        state.learn_transform(transform.name)
        _choose(connection, source, derived)
        for model in derived:
            spread_lists(connection, model)
        _finish(connection, linked, derived, targets)
        if state and not linked.damaged:
            state.publish(inputs)
    return linked


def _extend(source: str, archive: Archive, inputs: str, since: str) -> Linked | None:
    """Link the keys that were touched since the last load; None where all must be linked."""
    linked = Linked(source=source, copies={}, row_counts={})
    derived = derived_models(source)
    transforms = transforms_of(source)
    touched: dict[str, Touched] = {}
    with duck() as connection, known_state(connection, source, since) as is_known:
        new = new_segments(connection, source, archive) if is_known else None
        if new is None:
            return None
        connection.execute(empty_table("quarantine", _quarantine_schema()))
        connection.execute("CREATE TABLE judged_anew (fetch_id VARCHAR)")
        for model in derived:
            connection.execute(empty_records(model))
            make_keys(connection, model)
        try:
            for number, (name, segments) in enumerate(sorted(new.items())):
                if not segments:
                    continue
                feed = feeds.get(name)
                touched[name] = touch(connection, archive, feed, number, segments)
                for transform in transforms:
                    if transform.feed == name:
                        compare(connection, archive, touched[name], transform, derived)
                        _report(connection, transform, feed, linked)
        except SegmentCorrupt:
            # Linking everything says which, and withholds what it must.
            return None
        find_held_keys(connection, source, derived)
        for transform in transforms:
            collect(connection, archive, transform, touched.get(transform.feed), derived)
        _choose(connection, source, derived)
        keep_quarantine(connection, source)
        _finish_touched(connection, linked, derived, have_equal_targets(inputs, since))
        extend_state(connection, touched.values(), inputs)
    return linked


def _choose(
    connection: duckdb.DuckDBPyConnection, source: str, derived: list[type[Derived]]
) -> None:
    feed_of = {transform.name: transform.feed for transform in transforms_of(source)}
    for model in derived:
        choose(connection, model, feed_of)


def _finish(
    connection: duckdb.DuckDBPyConnection,
    linked: Linked,
    derived: list[type[Derived]],
    targets: Targets,
) -> None:
    """Hold what must wait, and write everything as files."""
    find_targets(connection, targets_elsewhere(linked.source), targets)
    hold(connection, derived, linked.source)
    write_reports(connection, linked)
    for model in derived:
        write_rows(connection, model, f"linked_{_table(model)}", linked)


def _finish_touched(
    connection: duckdb.DuckDBPyConnection,
    linked: Linked,
    derived: list[type[Derived]],
    has_equal_targets: bool,
) -> None:
    """The same where the tables have the rows of touched keys alone."""
    presents = {model: path for model in derived if (path := present_copy(model))}
    for model in derived:
        find_rows_before(connection, model, presents[model])
    hold_touched(connection, derived, linked.source, presents, has_equal_targets=has_equal_targets)
    write_reports(connection, linked)
    for model in derived:
        table = _table(model)
        linked.copies[model], linked.row_counts[table] = write_changes(
            connection,
            model,
            presents[model],
            before=f"before_{table}",
            after=f"linked_{table}",
        )


def write_reports(connection: duckdb.DuckDBPyConnection, linked: Linked) -> None:
    """Write the tables `quarantine` and `held` as files, and count them."""
    write_rows(connection, QuarantineEntry, "quarantine", linked)
    write_rows(connection, HeldRow, "held", linked)
    linked.held_count = linked.row_counts[_table(HeldRow)]
    linked.quarantined_count = linked.row_counts[_table(QuarantineEntry)]


def _collect(
    connection: duckdb.DuckDBPyConnection,
    transform: Transform,
    feed: feeds.Feed,
    archive: Archive,
    as_of: datetime | None,
    derived: list[type[Derived]],
    linked: Linked,
    reading: Reading | None,
) -> None:
    """Add what one transform says about the current versions of its feed."""
    is_present = reading is None
    reading = find_outcomes(connection, transform, archive, reading)
    find_current(connection, feed, as_of)
    count = 0
    for model in derived:
        files = reading.files(_table(model))
        if files:
            columns = _given(model, files)
            ((inserted,),) = connection.execute(
                f"""
                INSERT INTO records_{_table(model)}
                SELECT {columns}, r.fetch_id, s.fetched_at, s.sequence, $transform, r._ordinal,
                       s.fetch_id IN (SELECT fetch_id FROM current)
                FROM read_parquet($files) AS r
                JOIN sightings AS s
                    ON s.fetch_id = r.fetch_id::UUID AND s.is_start AND s.payload_id IS NOT NULL
                """,
                {"transform": transform.name, "files": [str(path) for path in files]},
            ).fetchall()
            count += inserted
    linked.lacks_records |= is_present and count < told_records(connection)
    _report(connection, transform, feed, linked)
    linked.rejected_count += collect_rejected(connection, transform, reading, derived)
    linked.measures.append(measure(connection, transform, feed, as_of))


def _report(
    connection: duckdb.DuckDBPyConnection, transform: Transform, feed: feeds.Feed, linked: Linked
) -> None:
    """Add the versions that a transform could not read, and those that gave no row any more."""
    connection.execute(
        """
        INSERT INTO quarantine BY NAME
        SELECT o.* EXCLUDE (request_key, record_count), -1 AS ordinal, '' AS key,
               $transform AS transform, $source AS source, $feed AS feed
        FROM outcomes AS o JOIN (SELECT fetch_id FROM sightings WHERE is_start) USING (fetch_id)
        WHERE o.error IS NOT NULL
        """,
        {"transform": transform.name, "source": transform.source, "feed": feed.name},
    )
    linked.emptied += _emptied(connection, transform)


def _given(model: type[models.Model], files: list[Path]) -> str:
    """The columns of records; one that an earlier state of the model lacked is null."""
    held = set(pq.read_schema(files[0]).names)
    return ", ".join(
        f"r.{quoted_name(name)}" if name in held else "NULL" for name in record_columns(model)
    )


def _emptied(connection: duckdb.DuckDBPyConnection, transform: Transform) -> list[Emptied]:
    """Requests whose newest version gave nothing where the one before gave rows."""
    found = connection.execute(
        """
        SELECT fetch_id::VARCHAR, url, before
        FROM (
            SELECT
                o.fetch_id, o.url, o.record_count, o.error,
                lag(o.record_count) OVER in_time AS before,
                lead(o.fetch_id) OVER in_time AS after
            FROM outcomes AS o JOIN sightings AS s ON s.fetch_id = o.fetch_id AND s.is_start
            WHERE o.error IS NULL
            WINDOW in_time AS (
                PARTITION BY s.request_key ORDER BY s.fetched_at, s.sequence, s.fetch_id
            )
        )
        WHERE record_count = 0 AND before > 0 AND after IS NULL
        ORDER BY url
        """
    ).fetchall()
    return [
        Emptied(transform=transform.name, fetch_id=fetch_id, url=url, record_count_before=before)
        for fetch_id, url, before in found
    ]


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    model: type[models.Model],
    relation: str,
    linked: Linked,
) -> None:
    """Write a table of the connection as the file of a model's rows."""
    linked.copies[model], linked.row_counts[_table(model)] = write_copy(connection, model, relation)


def _quarantine_schema() -> pa.Schema:
    return columns_of(QuarantineEntry).schema


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table
