"""The state of a link: what it learned of a source's fetches, kept for the next one.

    records/_links/SOURCE.duckdb

    about            one row: the inputs (`reshape.inputs`) that all of it was learned from
    segments         feed, name
    complete_runs    feed, run_id
    "captures FEED"  every fetch of the feed: what judges it
    "starts NAME"    per transform, every version that has a body, and whether it is current

It says nothing that the archive does not: where it is missing, cannot be opened or is of other
inputs, a link learns everything anew. Its columns are those of `reshape.versions`.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb
from django.conf import settings

from raw_store.archive import Archive
from raw_store.captures import Captures, complete_runs
from raw_store.errors import SegmentCorrupt
from raw_store.models import Segment

from .registry import transforms_of
from .sql import quoted, quoted_name
from .versions import CAPTURES, COMPACTED

logger = logging.getLogger(__name__)

FOLDER = "_links"

_STARTS = """
    fetch_id UUID, request_key UHUGEINT, fetched_at TIMESTAMPTZ, sequence BIGINT, is_current BOOLEAN
"""

# From `sightings` and `current`.
STARTS = """
    SELECT
        fetch_id, request_key, fetched_at, sequence,
        fetch_id IN (SELECT fetch_id FROM current) AS is_current
    FROM sightings
    WHERE is_start AND payload_id IS NOT NULL
"""


def captures_of(feed: str, database: str = "state") -> str:
    """The name of a feed's table of captures."""
    return f"{database}.{quoted_name(f'captures {feed}')}"


def starts_of(transform: str, database: str = "state") -> str:
    """The name of a transform's table of versions."""
    return f"{database}.{quoted_name(f'starts {transform}')}"


@contextmanager
def new_state(connection: duckdb.DuckDBPyConnection, source: str) -> Iterator["NewState"]:
    """A state in the making, beside the one there is, which stays unless this one is published."""
    state = NewState(connection, source)
    try:
        yield state
    finally:
        state.close()


class NewState:
    """See `new_state`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: str) -> None:
        self._connection = connection
        self._path = state_path(source)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever loads is alone: what is there is of a process that was killed.
        for left in self._path.parent.glob(f".{source}.*"):
            left.unlink()
        self._temporary = self._path.with_name(f".{source}.{uuid4().hex}.tmp")
        connection.execute(f"ATTACH {quoted(str(self._temporary))} AS fresh")
        connection.execute("CREATE TABLE fresh.about (inputs VARCHAR)")
        connection.execute("CREATE TABLE fresh.segments (feed VARCHAR, name VARCHAR)")
        connection.execute("CREATE TABLE fresh.complete_runs (feed VARCHAR, run_id UUID)")

    def learn_feed(self, feed: str, segments: Collection[Segment]) -> None:
        """Keep the captures of a feed, as `find_versions` leaves them."""
        table = captures_of(feed, "fresh")
        self._connection.execute(f"CREATE TABLE {table} ({CAPTURES}, segment VARCHAR)")
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM captured")
        # A run may be known to be complete before all its rows are indexed.
        complete = {run for segment in segments for run in complete_runs(segment, None)}
        rows = self._connection.execute("SELECT run_id::VARCHAR FROM complete_runs").fetchall()
        complete |= {run for (run,) in rows}
        note(self._connection, "fresh", feed, [segment.name for segment in segments], complete)

    def learn_transform(self, transform: str) -> None:
        """Keep a transform's versions, as `find_current` leaves them."""
        table = starts_of(transform, "fresh")
        self._connection.execute(f"CREATE TABLE {table} ({_STARTS})")
        self._connection.execute(f"INSERT INTO {table} {STARTS}")

    def publish(self, inputs: str) -> None:
        """Make it the source's state."""
        self._connection.execute("INSERT INTO fresh.about VALUES (?)", [inputs])
        self._connection.execute("DETACH fresh")
        # Of a process that was killed. It fits no other file, which could then never be opened.
        _log_of(self._path).unlink(missing_ok=True)
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Leave nothing behind of what was not published."""
        self._connection.execute("DETACH DATABASE IF EXISTS fresh")
        self._temporary.unlink(missing_ok=True)


@contextmanager
def known_state(connection: duckdb.DuckDBPyConnection, source: str, inputs: str) -> Iterator[bool]:
    """Attach the source's state as `state`; whether there is one, learned from these inputs."""
    path = state_path(source)
    try:
        if not inputs or not path.exists():
            yield False
            return
        try:
            connection.execute(f"ATTACH {quoted(str(path))} AS state")
            about = connection.execute("SELECT inputs FROM state.about").fetchall()
        except duckdb.Error as error:
            # Another process may hold it, for a replay that changes nothing.
            logger.info("link state not used source=%s error=%s", source, error)
            yield False
            return
        yield about == [(inputs,)]
    finally:
        connection.execute("DETACH DATABASE IF EXISTS state")


def new_segments(
    connection: duckdb.DuckDBPyConnection, source: str, archive: Archive
) -> dict[str, list[Segment]] | None:
    """Feed → the segments that the state does not know; None where one that it knows is gone, and
    what it held is not in those."""
    known: dict[str, set[str]] = {}
    for feed, name in connection.execute("SELECT feed, name FROM state.segments").fetchall():
        known.setdefault(feed, set()).add(name)
    found = {}
    for feed in sorted({transform.feed for transform in transforms_of(source)}):
        segments = archive.segments(feed)
        found[feed] = [each for each in segments if each.name not in known.get(feed, ())]
        # A link that was cut short may have noted the place of fetches and not the segment.
        rows = connection.execute(f"SELECT DISTINCT segment FROM {captures_of(feed)}").fetchall()
        places = {name for (name,) in rows} | known.get(feed, set())
        gone = places - {segment.name for segment in segments}
        if gone and not _were_compacted(connection, archive, feed, gone, found[feed]):
            return None
    return found


def _were_compacted(
    connection: duckdb.DuckDBPyConnection,
    archive: Archive,
    feed: str,
    gone: Collection[str],
    new: Sequence[Segment],
) -> bool:
    """Whether `new` segments say of every fetch what those that are `gone` said; if so, the state
    knows of their place."""
    try:
        rows = Captures(archive.url).table(new, None)
    except SegmentCorrupt:
        return False
    state, names = captures_of(feed), sorted(gone)
    connection.register("archived", rows)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE moved AS {COMPACTED.format(captures='archived')}"
    )
    connection.unregister("archived")
    ((lost,),) = connection.execute(
        f"""
        SELECT count(*) FROM (
            SELECT * EXCLUDE (segment) FROM {state}
            WHERE segment IN (SELECT unnest($gone::VARCHAR[]))
            EXCEPT SELECT * EXCLUDE (segment) FROM moved
        )
        """,
        {"gone": names},
    ).fetchall()
    if lost:
        return False
    connection.execute("BEGIN")
    connection.execute(
        f"""
        UPDATE {state} AS s SET segment = moved.segment
        FROM moved
        WHERE s.fetch_id = moved.fetch_id AND s.segment IN (SELECT unnest($gone::VARCHAR[]))
        """,
        {"gone": names},
    )
    connection.execute(
        "DELETE FROM state.segments WHERE feed = $feed AND name IN (SELECT unnest($gone))",
        {"feed": feed, "gone": names},
    )
    connection.execute("COMMIT")
    return True


def note(
    connection: duckdb.DuckDBPyConnection,
    database: str,
    feed: str,
    segments: Iterable[str],
    complete: Iterable[str],
) -> None:
    """Write down which segments of a feed are learned, and which runs they say are complete."""
    for table, values in (("segments", segments), ("complete_runs", complete)):
        connection.execute(
            f"INSERT INTO {database}.{table} SELECT $feed, unnest($values)",
            {"feed": feed, "values": sorted(values)},
        )


def forget_state(source: str) -> None:
    """Remove what was learned of a source, whose record files will say something else."""
    path = state_path(source)
    path.unlink(missing_ok=True)
    _log_of(path).unlink(missing_ok=True)


def forget_states() -> None:
    """Remove what was learned of every source, half-written states too."""
    for path in (Path(settings.RECORDS_DIR) / FOLDER).glob("*"):
        path.unlink(missing_ok=True)


def state_path(source: str) -> Path:
    """Where a source's state lies."""
    return Path(settings.RECORDS_DIR) / FOLDER / f"{source}.duckdb"


def _log_of(path: Path) -> Path:
    """Where DuckDB writes what is committed and not in the file yet."""
    return path.with_name(f"{path.name}.wal")
