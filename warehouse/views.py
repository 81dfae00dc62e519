"""The views of a build: the models' columnar copies and the archive, both read from Parquet.

A view names its files by absolute path, so a plain `duckdb` finds them from any folder, and
uses only what DuckDB 1.2 understands, too.
"""

import logging
import os
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from raw_store.rows import SCHEMA
from raw_store.segments import FORMAT_VERSION

from .discovery import Columns
from .statement import quoted

# `source`, `feed` and `date` come from the folders' names.
_PARTITIONS = "source=*/feed=*/date=*"
# All segments of format 1 have the same columns. Matching columns by name opens every segment
# of the archive for every query (measured: 0.2 ms each), so it waits for a second format.
_SEGMENT_OPTIONS = (
    f"union_by_name = {str(FORMAT_VERSION > 1).lower()}, hive_partitioning = true, "
    "hive_types = {'date': DATE}"
)
_MAGIC = b"PAR1"
# How often the archive's folder is looked at while segments in it are being replaced.
_LOOKS = 10
# How the name of a copy that is a layer parts that of the file it lies upon from its own.
_UPON = "+"

logger = logging.getLogger(__name__)


def create_model_view(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Columns,
    copy: Path | None,
    *,
    in_order: bool = False,
) -> None:
    """Create the view of a model's copy, or replace it, with the model's columns whatever the
    copy's age.

    A column that the copy does not have yet is null; without a copy the view has no rows. With
    `in_order` one thread reads the rows in the order of their key, whatever files they are in.
    """
    held: dict[str, str] = {}
    if copy is not None:
        described = connection.execute(f"DESCRIBE FROM {_parquet(base_of(copy))}").fetchall()
        held = {str(row[0]): str(row[1]) for row in described}
    listed = ",\n  ".join(_column(name, kind, held.get(name)) for name, kind in columns.items())
    rows = (
        f"FROM {_rows(copy, list(held), in_order=in_order)}" if copy is not None else "WHERE false"
    )
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(table)} AS SELECT\n  {listed}\n{rows}")


def base_of(copy: Path) -> Path:
    """The file of a copy that has most of its rows: itself, or the one that it lies upon."""
    return copy.with_name(f"{copy.stem.partition(_UPON)[0]}.parquet")


def _rows(copy: Path, held: list[str], *, in_order: bool) -> str:
    """What follows FROM: one file is in order; of a layer, rows take the place of the base's."""
    base, layer = _parquet(base_of(copy)), _parquet(copy)
    if base == layer:
        return layer
    key = pq.read_metadata(copy).metadata[b"key"].decode()
    names = ", ".join(map(quoted, held))
    order = f"\nORDER BY {key}" if in_order else ""
    return (
        f"(SELECT {names} FROM {base} ANTI JOIN (SELECT {key} FROM {layer}) USING ({key})\n"
        f"UNION ALL\nSELECT {names} FROM {layer} WHERE NOT _gone{order})"
    )


def archive_folder(archive_url: str) -> Path | None:
    """The folder that an archive lies in; None where it is in none of this machine."""
    if "://" in archive_url and not archive_url.startswith("file://"):
        return None
    return Path(archive_url.removeprefix("file://")).resolve()


def create_archive_views(connection: duckdb.DuckDBPyConnection, archive_url: str) -> None:
    """Create `archive`, every fetch as archived, and `payloads`, the fetches that hold a body.

    Only an archive in a local folder has views: reading S3 would need an extension.
    """
    folder = archive_folder(archive_url)
    if folder is None:
        return
    segments = _readable_segments(connection, folder)
    if segments is None:
        empty = connection.from_arrow(SCHEMA.empty_table())
        listed = ",\n  ".join(
            _column(name, str(kind), None)
            for name, kind in zip(empty.columns, empty.types, strict=True)
        )
        rows = f"SELECT\n  {listed},\n  CAST(NULL AS DATE) AS date\nWHERE false"
    else:
        rows = f"SELECT * FROM read_parquet({segments}, {_SEGMENT_OPTIONS})"
    connection.execute(f"CREATE VIEW archive AS {rows}")
    connection.execute("CREATE VIEW payloads AS SELECT * FROM archive WHERE body IS NOT NULL")
    connection.execute(
        "COMMENT ON VIEW archive IS 'Every fetch as archived; a revisit has no body and names "
        "the fetch that holds it in payload_id.'"
    )
    connection.execute(
        "COMMENT ON VIEW payloads IS 'The fetches that hold a body; decode(body) is its text, "
        "where it is UTF-8.'"
    )


def _readable_segments(connection: duckdb.DuckDBPyConnection, folder: Path) -> str | None:
    """The archive's segments as `read_parquet` takes them; None where there are none.

    Normally a pattern, so that later segments are seen too. One damaged segment would make
    every query fail, so when there is one, those that can be read are listed. One that a compaction
    has replaced since it was listed is not damaged: then the folder is looked at again.
    """
    pattern = _literal(folder / _PARTITIONS / "*.parquet")
    for _ in range(_LOOKS):
        files = sorted(folder.glob(f"{_PARTITIONS}/*.parquet"))
        if not files:
            return None
        if all(map(_is_whole, files)) and _is_readable(connection, pattern):
            return pattern
        if all(path.exists() for path in files):
            break
    readable = [
        literal
        for literal in map(_literal, filter(_is_whole, files))
        if _is_readable(connection, literal)
    ]
    logger.warning(
        "damaged segments left out of the view archive count=%d; `manage.py archive verify` "
        "names them",
        len(files) - len(readable),
    )
    return f"[{', '.join(readable)}]" if readable else None


def _is_whole(path: Path) -> bool:
    """Whether the file begins and ends as a Parquet file does: cheap enough to ask of them all."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - len(_MAGIC)))
            return start == _MAGIC and file.read() == _MAGIC
    except FileNotFoundError:
        return False


def _is_readable(connection: duckdb.DuckDBPyConnection, segments: str) -> bool:
    try:
        connection.execute(f"DESCRIBE SELECT * FROM read_parquet({segments}, {_SEGMENT_OPTIONS})")
    except duckdb.Error:
        return False
    return True


def _column(name: str, kind: str, held: str | None) -> str:
    if held is None:
        return f"CAST(NULL AS {kind}) AS {quoted(name)}"
    if held == kind:
        return quoted(name)
    return f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}"


def _parquet(path: Path) -> str:
    return f"read_parquet({_literal(path)})"


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
