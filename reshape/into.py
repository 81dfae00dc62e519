"""Derived rows in a DuckDB file of their own; nothing live changes.

TABLE                      the rows of each model
reshape_quarantineentry    the payloads that a transform could not read
reshape_heldrow            the rows that wait for the target of a link
fetches                    the fetch that each `fetch_id` of these names
replays                    what the file was made of: a line per transform
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from raw_store.archive import Archive

from .difference import is_shared
from .files import new_duckdb
from .registry import transforms_of
from .replay import Derivation, discard
from .sql import quoted, quoted_name

_TABLES = """
CREATE TABLE fetches (
    fetch_id VARCHAR PRIMARY KEY, run_id VARCHAR, feed VARCHAR, url VARCHAR, status SMALLINT,
    fetched_at TIMESTAMPTZ, body_digest VARCHAR, body_size BIGINT
);
COMMENT ON TABLE fetches IS 'The fetches that the rows name; `archive show` prints one.';
CREATE TABLE replays (
    source VARCHAR, transform VARCHAR, feed VARCHAR, fingerprint VARCHAR,
    as_of TIMESTAMPTZ, written_at TIMESTAMPTZ
);
COMMENT ON TABLE replays IS 'What the rows were made of: with as_of, the fetches up to then.';
"""


def write_into(
    file: Path,
    derivations: Iterable[Derivation],
    archive: Archive,
    *,
    as_of: datetime | None = None,
) -> dict[str, dict[str, int]]:
    """Write the linked rows of one source or several into a new DuckDB file.

    Returns source → table → rows. The linked rows' files are removed as they are written.
    `as_of` is noted in the file. The file is there whole or not at all; raises
    `FileExistsError`, for a file is never overwritten.
    """
    written: dict[str, dict[str, int]] = {}
    with new_duckdb(file) as connection:
        connection.execute(_TABLES)
        for derivation in derivations:
            try:
                _add(connection, derivation, archive, as_of)
            finally:
                discard(derivation)
            written[derivation.linked.source] = dict(derivation.linked.row_counts)
    return written


def _add(
    connection: duckdb.DuckDBPyConnection,
    derivation: Derivation,
    archive: Archive,
    as_of: datetime | None,
) -> None:
    named = []
    for model, path in derivation.linked.copies.items():
        table = quoted_name(model._meta.db_table)
        rows = f"FROM read_parquet({quoted(str(path))})"
        if is_shared(model):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {rows} WHERE false")
            connection.execute(f"INSERT INTO {table} BY NAME {rows}")
        else:
            connection.execute(f"CREATE TABLE {table} AS {rows}")
        named.append(f"SELECT fetch_id {rows}")
    transforms = transforms_of(derivation.linked.source)
    for feed in sorted({transform.feed for transform in transforms}):
        # A damaged segment is named by the derivation.
        connection.register("captures", archive.captures(feed, on_damaged=lambda _: None))
        connection.execute(
            f"""
            INSERT OR IGNORE INTO fetches BY NAME
            SELECT fetch_id, run_id, $feed AS feed, url, status, fetched_at, body_digest, body_size
            FROM captures WHERE fetch_id IN ({" UNION ALL ".join(named)})
            """,
            {"feed": feed},
        )
        connection.unregister("captures")
    for transform in transforms:
        connection.execute(
            "INSERT INTO replays VALUES ($1, $2, $3, $4, $5, $6)",
            [
                transform.source,
                transform.name,
                transform.feed,
                derivation.fingerprints[transform.name],
                as_of,
                datetime.now(UTC),
            ],
        )
