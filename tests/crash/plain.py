"""What lies on disk, read with sqlite3 and pyarrow alone, not with the code that is judged."""

import hashlib
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from .bodies import body_of

_COLUMNS = [
    "fetch_id",
    "run_id",
    "url",
    "request_key",
    "status",
    "headers",
    "fetched_at",
    "body",
    "body_digest",
    "body_size",
    "payload_id",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One archived fetch, its body already compared with what it should be."""

    fetch_id: str
    run_id: str
    url: str
    status: int | None
    round: int
    request_key: str
    digest: str | None
    payload_id: str | None
    holds_body: bool


@dataclass(slots=True, kw_only=True)
class View:
    """An archive as its index shows it."""

    rows: dict[str, Row] = field(default_factory=dict)
    by_segment: dict[str, list[str]] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    """Rows, or whole segments, that are not what they should be."""
    missing: list[str] = field(default_factory=list)
    """Segments that the index names and that are not there."""
    twice: int = 0
    """Rows that lie in two segments of the index."""


class Plain:
    """Reads one home folder. What it has read once and is unchanged, it does not read again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._read: dict[tuple[str, int, int], tuple[list[Row], list[str]]] = {}

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """A copy of the database: looking at it must not do the recovery that is to be shown."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "db.sqlite3"
            shutil.copy(self.home / "db.sqlite3", copy)
            with suppress(FileNotFoundError):
                shutil.copy(self.home / "db.sqlite3-wal", f"{copy}-wal")
            with closing(sqlite3.connect(copy)) as connection:
                yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(sql).fetchall()

    def view(self, database: sqlite3.Connection) -> View:
        """Every row of every segment in the index, compared with what it should be."""
        found = View()
        listed = database.execute("SELECT path, row_count FROM raw_store_segment").fetchall()
        for path, row_count in listed:
            try:
                rows, torn = self._segment(path)
            except FileNotFoundError:
                found.missing.append(path)
                continue
            found.torn += torn
            if len(rows) != row_count and not torn:
                found.torn.append(f"{path} holds {len(rows)} rows, its index row says {row_count}")
            found.by_segment[path] = [row.fetch_id for row in rows]
            for row in rows:
                found.twice += row.fetch_id in found.rows
                found.rows[row.fetch_id] = row
        found.torn += _dangling(found.rows)
        return found

    def visible_segments(self) -> list[Path]:
        """Every file that a plain reader of the folder takes for a segment."""
        return [
            path
            for path in (self.home / "archive").rglob("*.parquet")
            if not path.name.startswith(".")
        ]

    def torn_files(self) -> list[str]:
        """The visible segments that cannot be read or hold a torn row, in the index or not."""
        found: list[str] = []
        for path in self.visible_segments():
            found += self._segment(str(path.relative_to(self.home / "archive")))[1]
        return found

    def visible_rows(self) -> dict[str, int]:
        """Fetch id → in how many visible files it is: what a plain reader of the folder sees."""
        found: dict[str, int] = defaultdict(int)
        for path in self.visible_segments():
            for row in self._segment(str(path.relative_to(self.home / "archive")))[0]:
                found[row.fetch_id] += 1
        return found

    def left_over(self) -> list[str]:
        """Files in the archive that are no visible segments."""
        whole = set(self.visible_segments())
        return [
            str(path.relative_to(self.home))
            for path in (self.home / "archive").rglob("*")
            if path.is_file() and path not in whole
        ]

    def forget(self) -> None:
        """Read every file again the next time."""
        self._read.clear()

    def _segment(self, path: str) -> tuple[list[Row], list[str]]:
        file = self.home / "archive" / path
        stat = file.stat()
        key = (path, stat.st_ino, stat.st_mtime_ns)
        if key not in self._read:
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    table = parquet.read(columns=_COLUMNS)
            except (OSError, ValueError, pa.ArrowException) as error:
                self._read[key] = ([], [f"{path} cannot be read: {error}"])
            else:
                rows: list[Row] = []
                torn: list[str] = []
                for values in table.to_pylist():
                    row, wrong = _judged(values)
                    rows.append(row)
                    torn += [f"{path}: fetch {row.fetch_id} of {row.url}: {each}" for each in wrong]
                self._read[key] = (rows, torn)
        return self._read[key]


def _judged(values: dict[str, Any]) -> tuple[Row, list[str]]:
    """A row, and what is wrong with it."""
    headers = {pair["name"].lower(): pair["value"] for pair in values["headers"]}
    round_ = int(headers.get("x-round", -1))
    wrong: list[str] = []
    digest = values["body_digest"]
    if values["status"] in (200, 304):
        expected = body_of(urlsplit(values["url"]).path, round_)
        if digest is None and values["status"] == 200:
            wrong.append("it has no digest")
        elif digest is not None and digest != hashlib.sha256(expected).hexdigest():
            wrong.append("its digest is another body's")
        if values["body"] is not None and values["body"] != expected:
            wrong.append("its body is not what was sent")
        if values["status"] == 200 and values["body_size"] != len(expected):
            wrong.append("its size is not the body's")
    if (values["body"] is not None) != (values["payload_id"] == values["fetch_id"]):
        wrong.append("it holds a body and says it does not, or the reverse")
    row = Row(
        fetch_id=values["fetch_id"],
        run_id=values["run_id"].replace("-", ""),
        url=values["url"],
        status=values["status"],
        round=round_,
        request_key=values["request_key"],
        digest=digest,
        payload_id=values["payload_id"],
        holds_body=values["body"] is not None,
    )
    return row, wrong


def _dangling(rows: dict[str, Row]) -> list[str]:
    """Revisits whose body is not there, or is another one."""
    found: list[str] = []
    for row in rows.values():
        if row.payload_id in (None, row.fetch_id):
            continue
        holder = rows.get(row.payload_id or "")
        if holder is None or not holder.holds_body:
            found.append(f"revisit {row.fetch_id} names {row.payload_id}, which is not there")
        elif (holder.digest, holder.request_key) != (row.digest, row.request_key):
            found.append(f"revisit {row.fetch_id} names {row.payload_id}, another body")
    return found
