"""Layers: a copy of many rows of which few changed is the file before and a small one upon it.

    warehouse/models/TABLE/BASE.parquet          every row as it was
    warehouse/models/TABLE/BASE+LAYER.parquet    the rows that differ from it since

A copy is known by one path. That of a layer says which base it lies upon; no layer lies upon
another: the next one holds what this one held. A layer has the model's columns and `_gone`:
a row of the base that is no more has its key there, and nothing else. Neither file is ever
changed, so whoever reads an earlier copy goes on reading just that.
"""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow.parquet as pq
from django.conf import settings
from django.db import models

from .columns import Columns, columns_of
from .sql import quoted, quoted_name

GONE = "_gone"
ROWS_PER_CHANGE = 50
"""A base has at least so many rows for each row of the layer upon it; else both are folded."""
_UPON = "+"
_LEVEL = 1
"""Of zstd, in a base: a tenth more bytes than DuckDB's own 3, for two thirds of the computing."""


def write_copy(
    connection: duckdb.DuckDBPyConnection, model: type[models.Model], relation: str
) -> tuple[Path, int]:
    """Write a DuckDB relation with the model's columns as a new copy; return it and its rows."""
    columns = columns_of(model)
    path = _folder(model) / f"{uuid4().hex}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    ((row_count,),) = connection.execute(
        f"COPY (SELECT {_listed(columns.schema.names)} FROM {relation} "
        f"ORDER BY {_listed(columns.key)}) TO {quoted(str(path))} "
        f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {_LEVEL})"
    ).fetchall()
    return path, int(row_count)


def write_changes(
    connection: duckdb.DuckDBPyConnection,
    model: type[models.Model],
    present: Path,
    *,
    before: str,
    after: str,
) -> tuple[Path, int]:
    """Write the copy that follows `present`, and return it and its rows.

    `before` and `after` are relations with the rows of some natural keys, as they are in
    `present` and as they shall be; the rows of all other keys stay. Where nothing changes,
    `present` is returned.
    """
    columns = columns_of(model)
    names, key = _listed(columns.schema.names), _listed(columns.key)
    only_key = ", ".join(
        quoted_name(name) if name in columns.key else f"NULL AS {quoted_name(name)}"
        for name in columns.schema.names
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE layer AS
        SELECT *, false AS {GONE}
        FROM (SELECT {names} FROM {after} EXCEPT SELECT {names} FROM {before})
        UNION ALL
        SELECT {only_key}, true AS {GONE}
        FROM {before} ANTI JOIN (SELECT {key} FROM {after}) USING ({key})
        """
    )
    row_count = count_rows(present)
    if not _count(connection, "layer"):
        return present, row_count
    row_count += _count(connection, after) - _count(connection, before)
    base = base_of(present)
    if base:
        connection.execute(
            f"INSERT INTO layer BY NAME "
            f"SELECT {names}, {GONE} FROM {_file(present)} "
            f"ANTI JOIN (SELECT {key} FROM layer) USING ({key})"
        )
    base = base or present
    if _count(connection, "layer") * ROWS_PER_CHANGE > pq.read_metadata(base).num_rows:
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP VIEW folded AS
            SELECT {names} FROM {_file(base)} ANTI JOIN (SELECT {key} FROM layer) USING ({key})
            UNION ALL SELECT {names} FROM layer WHERE NOT {GONE}
            """
        )
        return write_copy(connection, model, "folded")
    path = base.with_name(f"{base.stem}{_UPON}{uuid4().hex}.parquet")
    # The warehouse makes a view of it, and does not know the model's key.
    connection.execute(
        f"COPY (SELECT * FROM layer ORDER BY {key}) TO {quoted(str(path))} "
        f"(FORMAT parquet, COMPRESSION zstd, "
        f"KV_METADATA {{key: {quoted(key)}, row_count: '{row_count}'}})"
    )
    return path, row_count


def base_of(path: Path) -> Path | None:
    """The file that a layer lies upon; None where the copy is one file."""
    base, upon, _ = path.stem.partition(_UPON)
    return path.with_name(f"{base}.parquet") if upon else None


def count_rows(path: Path) -> int:
    """How many rows a copy has."""
    metadata = pq.read_metadata(path)
    return int(metadata.metadata[b"row_count"]) if base_of(path) else int(metadata.num_rows)


def rows_in(path: Path, columns: Columns, *, where: str = "") -> str:
    """The query for a copy's rows, in no particular order.

    `where` restricts each of the files read: what follows their name in a FROM.
    """
    base = base_of(path)
    if base is None:
        return f"SELECT * FROM {_file(path)} {where}"
    names, key, layer = _listed(columns.schema.names), _listed(columns.key), _file(path)
    return f"""
        SELECT {names} FROM (SELECT {names} FROM {_file(base)} {where})
        ANTI JOIN (SELECT {key} FROM {layer}) USING ({key})
        UNION ALL
        SELECT {names} FROM (SELECT {names}, {GONE} FROM {layer} {where}) WHERE NOT {GONE}
    """


def rows_to_compare(one: Path, other: Path, columns: Columns) -> tuple[str, str]:
    """Queries for the rows of two copies: of all keys, or, where both rest on the same file, of
    those in which they may differ."""
    layers = [path for path in (one, other) if base_of(path)]
    where = ""
    if layers and (base_of(one) or one) == (base_of(other) or other):
        key = _listed(columns.key)
        keys = " UNION ".join(f"SELECT {key} FROM {_file(path)}" for path in layers)
        where = f"SEMI JOIN ({keys}) USING ({key})"
    return rows_in(one, columns, where=where), rows_in(other, columns, where=where)


def _folder(model: type[models.Model]) -> Path:
    return Path(settings.WAREHOUSE_DIR) / "models" / model._meta.db_table


def _file(path: Path) -> str:
    return f"read_parquet({quoted(str(path))})"


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted_name(name) for name in names)
