"""Readings: which record files say what a transform has read, and what it made of each version."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import duckdb

from raw_store.archive import Archive
from raw_store.locks import RECORDS, shared

from .parse import label_of, parse_payloads
from .records import BORROWED, OUTCOME_SCHEMA, OUTCOMES, parsed_segments, record_files
from .registry import Transform
from .sql import empty_table
from .versions import borrowed_versions

_BORROWED_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The record files that speak for a transform."""

    label: str
    """NAME@FINGERPRINT, of the present code or of an earlier one."""
    names: tuple[str, ...]
    """Of segments, and of the files of borrowed versions."""

    def files(self, folder: str) -> list[Path]:
        """Those of one folder: a table, or `OUTCOMES`."""
        return record_files(folder, self.label, self.names)


def present_reading(
    transform: Transform, archive: Archive, within: Sequence[str] | None = None
) -> Reading:
    """What the present code of a transform has parsed of the archive's segments, or of those
    `within`."""
    label = label_of(transform)
    if within is None:
        within = [segment.name for segment in archive.segments(transform.feed)]
    return Reading(label=label, names=(*within, *borrowed_names(label)))


def borrowed_names(label: str) -> list[str]:
    """The record files of versions whose body another fetch holds."""
    return sorted(name for name in parsed_segments(label) if name.startswith(BORROWED))


def find_outcomes(
    connection: duckdb.DuckDBPyConnection,
    transform: Transform,
    archive: Archive,
    reading: Reading | None = None,
    *,
    within: Sequence[str] | None = None,
) -> Reading:
    """Make the table `outcomes`: what the transform made of each version (`find_versions`).

    Without a `reading` that of the present code counts, and borrowed versions that it lacks are
    parsed. Where only segments `within` can hold the versions, no others are read. Returns the
    reading.
    """
    if reading:
        read_outcomes(connection, reading)
        return reading
    reading = present_reading(transform, archive, within)
    read_outcomes(connection, reading)
    if borrowed := borrowed_versions(connection):
        with shared(RECORDS):
            for start in range(0, len(borrowed), _BORROWED_AT_ONCE):
                some = borrowed[start : start + _BORROWED_AT_ONCE]
                payloads = archive.read_many([UUID(fetch_id) for fetch_id in some])
                parse_payloads(transform, [payloads[fetch_id] for fetch_id in sorted(payloads)])
        reading = present_reading(transform, archive, within)
        read_outcomes(connection, reading)
    return reading


def read_outcomes(connection: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    """Make the table `outcomes` of what is parsed already.

    The outcomes of versions whose body is gone are left out: parsed anew they would give
    nothing, so what a record file still says of them does not count.
    """
    connection.execute(empty_table("outcomes", OUTCOME_SCHEMA))
    connection.execute("ALTER TABLE outcomes ALTER fetch_id TYPE UUID")
    if files := reading.files(OUTCOMES):
        connection.execute(
            "INSERT INTO outcomes BY NAME "
            "SELECT * EXCLUDE (request_key) FROM read_parquet($files) "
            "WHERE fetch_id::UUID IN (SELECT fetch_id FROM sightings WHERE is_start)",
            {"files": [str(path) for path in files]},
        )
        _keep_what_was_read(connection)
    connection.execute(
        """
        DELETE FROM outcomes WHERE fetch_id IN (
            SELECT fetch_id FROM sightings WHERE payload_id IS NULL
        )
        """
    )


def told_records(connection: duckdb.DuckDBPyConnection) -> int:
    """How many records the `outcomes` tell of."""
    ((told,),) = connection.execute(
        "SELECT coalesce(sum(record_count), 0) FROM outcomes"
    ).fetchall()
    return int(told)


def _keep_what_was_read(connection: duckdb.DuckDBPyConnection) -> None:
    """Of two outcomes, as a retry cut short leaves them, keep the one that was read."""
    ((repeated,),) = connection.execute(
        "SELECT count(*) - count(DISTINCT fetch_id) FROM outcomes"
    ).fetchall()
    if repeated:
        connection.execute(
            """
            DELETE FROM outcomes WHERE rowid NOT IN (
                SELECT arg_min(rowid, (error IS NOT NULL, rowid)) FROM outcomes GROUP BY fetch_id
            )
            """
        )
