"""What a build notes of its rollups, by which the next one knows what to compute again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from .discovery import Columns, Rollup

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Before:
    """A rollup in the build that is current."""

    signature: str
    export: Path
    computed_at: datetime

    def is_kept(self, rollup: Rollup, now: datetime) -> bool:
        """Whether its file says that it is too early to compute it again."""
        every = rollup.refresh.every
        return every is not None and self.export.exists() and now - self.computed_at < every


def rollups_of(
    connection: duckdb.DuckDBPyConnection, schema: str, folder: Path
) -> dict[str, Before]:
    """What a build notes of its rollups. Raises `duckdb.Error`, of builds of an older form too."""
    rows = connection.execute(
        f"SELECT name, signature, export, epoch_us(computed_at) FROM {schema}.rollups"
    ).fetchall()
    return {
        name: Before(signature, folder / export, _EPOCH + timedelta(microseconds=microseconds))
        for name, signature, export, microseconds in rows
    }


def table_signatures(tables: Mapping[str, Columns], copies: Mapping[str, Path]) -> dict[str, str]:
    """The identity of the rows of each of the models' tables."""
    found: dict[str, str] = {}
    for table, columns in tables.items():
        copy = copies.get(table)
        of_copy: list[object] = []
        if copy is not None:
            stat = copy.stat()
            of_copy = [str(copy), stat.st_size, stat.st_mtime_ns]
        found[table] = _digest([list(columns.items()), *of_copy])
    return found


def signature_of(rollup: Rollup, signatures: Mapping[str, str]) -> str:
    """The identity of a rollup's rows: its file, its inputs, and the engine that computes it."""
    inputs = [[name, signatures[name]] for name in rollup.inputs]
    return _digest([rollup.sql, rollup.columns, inputs, duckdb.__version__])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
