"""The search after an erasure: every file of the archive and of the home folder, and the database.

Two kinds of things are looked for. Fetch ids, and the digests of the erased bodies, are of the
erased fetches alone: wherever one is found, something is left. Addresses and excerpts of bodies
may stand in what was not asked for, too: a listing that links there, the next version of the same
page. So they are looked for in the archive first; one that a remaining fetch holds is reported
as mentioned, and not looked for elsewhere.

Files are searched as raw bytes and, where they are Parquet, DuckDB or SQLite, decoded as well.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db import connection

from .digests import column_digests
from .durability import is_local, open_folder
from .errors import SegmentCorrupt
from .files import list_files
from .segments import (
    large_columns,
    opened,
    read_group,
    stored_columns,
    stream_chunk,
)

logger = logging.getLogger(__name__)

Advance = Callable[[int], None]

_TEXTS = 64
"""Addresses that are looked for as bytes; in columns of addresses all of them are."""
_SHORTEST = 12
"""Characters. A shorter address would be found everywhere."""
_CHUNK = 8 * 1024 * 1024
_OVERLAP = 8192
_DASHED = re.compile(rb"(?=(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}))")
_PLAIN = re.compile(rb"(?=([0-9a-f]{32}))")
_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """What is looked for."""

    fetch_ids: frozenset[str]
    digests: frozenset[str] = frozenset()
    """SHA-256 of the erased bodies."""
    urls: Sequence[str] = ()
    """Addresses that no remaining fetch has as its own."""
    excerpts: Sequence[bytes] = ()


@dataclass(slots=True)
class Proof:
    """What a search found."""

    file_count: int = 0
    byte_count: int = 0
    table_count: int = 0
    """Of the database."""
    left: list[str] = field(default_factory=list)
    """Where something is left, and what."""
    mentioned: list[str] = field(default_factory=list)
    """Addresses that other fetches still speak of."""


def search(url: str, home: Path, markers: Markers, *, advance: Advance | None = None) -> Proof:
    """Look for the markers in the archive at `url`, in all of `home`, and in the database."""
    found = Proof()
    seeker = _Seeker(markers, found, advance or (lambda _: None))
    seeker.archive(url)
    inside = Path(open_folder(url)[1]) if is_local(url) else None
    for folder, folders, names in os.walk(home):
        if inside and Path(folder) == inside:
            folders.clear()
            continue
        if Path(folder) == home:
            # The list of what is to be erased is removed once this finds nothing.
            folders[:] = [name for name in folders if name != "erasing"]
        for name in sorted(names):
            seeker.file(Path(folder) / name, home)
    seeker.database()
    return found


class _Seeker:
    """Searches one thing after the other, and notes what it finds."""

    def __init__(self, markers: Markers, found: Proof, advance: Advance) -> None:
        self.found = found
        self.advance = advance
        self.ids = pa.array(sorted(markers.fetch_ids), pa.string())
        self.plain_ids = pa.array([each.replace("-", "") for each in markers.fetch_ids])
        self.tails = {each[8:].encode() for each in markers.fetch_ids}
        self.raw_ids = {each.encode() for each in markers.fetch_ids}
        self.raw_plain = {each.replace("-", "").encode() for each in markers.fetch_ids}
        self.digests = markers.digests
        self.urls = pa.array(sorted(markers.urls), pa.string())
        long = sorted(each for each in markers.urls if len(each) >= _SHORTEST)
        step = max(1, len(long) // _TEXTS)
        self.texts = {
            **{each.encode(): "an erased address" for each in long[::step][:_TEXTS]},
            **dict.fromkeys(markers.excerpts, "a piece of an erased body"),
        }

    def archive(self, url: str) -> None:
        """Every file of the archive; what its fetches mention is not looked for elsewhere."""
        mentioned: set[bytes] = set()
        recorded: set[str] = set()
        computed: dict[str, str] = {}
        for file in list_files(url):
            self.found.file_count += 1
            self.found.byte_count += file.size
            if not file.path.endswith((".parquet", ".parquet.replaced")):
                with open_folder(url)[0].open_input_stream(
                    f"{open_folder(url)[1]}/{file.path}", compression=None
                ) as stream:
                    self._raw(f"archive/{file.path}", iter(lambda: stream.read(_CHUNK), b""), True)
                continue
            try:
                self._segment(url, file.path, mentioned, recorded, computed)
            except SegmentCorrupt as error:
                self._note(f"archive/{file.path}", f"not searched, for it cannot be read: {error}")
            self.advance(file.size)
        for digest, path in computed.items():
            if digest not in recorded:
                self._note(f"archive/{path}", "an erased body")
        for text in mentioned:
            if self.texts.pop(text) == "an erased address":
                self.found.mentioned.append(text.decode())
        left = [each for each in self.urls.to_pylist() if each not in self.found.mentioned]
        self.urls = pa.array(left, pa.string())

    def _segment(
        self,
        url: str,
        path: str,
        mentioned: set[bytes],
        recorded: set[str],
        computed: dict[str, str],
    ) -> None:
        with opened(url, path) as file:
            names = file.schema_arrow.names
            bodies = [name for name in ("body", "encoded_body") if name in names]
            light = [name for name in names if name not in bodies]
            for group in range(file.num_row_groups):
                table = read_group(file, path, group, light)
                for name in ("fetch_id", "payload_id"):
                    if pc.any(pc.is_in(table[name], self.ids)).as_py():
                        self._note(f"archive/{path}", f"an erased fetch ({name})")
                for name in ("body_digest", "encoded_digest"):
                    recorded.update(self.digests.intersection(table[name].to_pylist()))
                for name in light:
                    self._mentions(table[name], mentioned)
                for name in bodies:
                    for at in column_digests(url, path, file, group, name):
                        if at and at[0] in self.digests:
                            computed[at[0]] = path
                large = large_columns(file, group)
                for name in stored_columns(file, group, bodies):
                    if not self.texts.keys() - mentioned:
                        break
                    if name in large:
                        self._mentions_in(stream_chunk(url, path, large[name]), mentioned)
                    else:
                        self._mentions(read_group(file, path, group, [name])[name], mentioned)

    def _mentions(self, column: pa.ChunkedArray, mentioned: set[bytes]) -> None:
        for values in _leaves(column):
            for text in self.texts.keys() - mentioned:
                for written in {text, text.replace(b"/", b"\\/")}:
                    if _contains(values, written):
                        mentioned.add(text)

    def _mentions_in(self, pieces: Iterable[bytes], mentioned: set[bytes]) -> None:
        before = b""
        for each in pieces:
            piece = before + each
            for text in self.texts.keys() - mentioned:
                if text in piece or text.replace(b"/", b"\\/") in piece:
                    mentioned.add(text)
            before = piece[-_OVERLAP:]

    def file(self, path: Path, home: Path) -> None:
        """A file of the home folder."""
        name = str(path.relative_to(home))
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                start = file.read(16)
                file.seek(0)
                is_parquet = start[:4] == b"PAR1"
                chunks = iter(lambda: file.read(_CHUNK), b"")
                self._raw(name, chunks, not is_parquet)
            if is_parquet:
                self._parquet(path, name)
            elif start[8:12] == b"DUCK":
                self._duckdb(path, name)
        except FileNotFoundError:
            return  # removed since the folder was listed
        self.found.file_count += 1
        self.found.byte_count += size
        self.advance(size)

    def database(self) -> None:
        """Every table, whatever the database."""
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        for table in sorted(tables):
            self.found.table_count += 1
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(_ROWS):
                    for name, values in zip(names, zip(*rows, strict=True), strict=True):
                        texts = [_as_text(value) for value in values]
                        self._column(f"table {table}", name, pa.chunked_array([texts], pa.string()))

    def _raw(self, name: str, chunks: Iterable[bytes], texts: bool) -> None:
        before = b""
        for chunk in chunks:
            piece = before + chunk
            if any(match[1] in self.tails for match in _DASHED.finditer(piece)) and any(
                each in piece for each in self.raw_ids
            ):
                self._note(name, "an erased fetch's id")
            if texts and any(match[1] in self.raw_plain for match in _PLAIN.finditer(piece)):
                self._note(name, "an erased fetch's id")
            for text, what in self.texts.items() if texts else ():
                if text in piece:
                    self._note(name, what)
            before = piece[-_OVERLAP:]

    def _parquet(self, path: Path, name: str) -> None:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS):
                    for at, column in enumerate(batch.columns):
                        column_name = batch.schema.field(at).name
                        self._column(name, column_name, pa.chunked_array([column]))
        except (OSError, pa.ArrowException) as error:
            self._note(name, f"not searched, for it cannot be read: {error}")

    def _duckdb(self, path: Path, name: str) -> None:
        try:
            with duckdb.connect(str(path), read_only=True) as found:
                tables = found.execute(
                    "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
                ).fetchall()
                for schema, table in tables:
                    rows = found.sql(f'FROM "{schema}"."{table}"').to_arrow_reader(_ROWS)
                    for batch in rows:
                        for at, column in enumerate(batch.columns):
                            label = f"{table}.{batch.schema.field(at).name}"
                            self._column(name, label, pa.chunked_array([column]))
        except duckdb.Error as error:
            self._note(name, f"not searched, for it cannot be read: {error}")

    def _column(self, name: str, column: str, values: pa.ChunkedArray) -> None:
        for leaf in _leaves(values):
            if pa.types.is_string(leaf.type) or pa.types.is_large_string(leaf.type):
                strings = leaf.cast(pa.string())
                for wanted in (self.ids, self.plain_ids):
                    if pc.any(pc.is_in(strings, wanted)).as_py():
                        self._note(name, f"an erased fetch's id in {column}")
                if pc.any(pc.is_in(strings, self.urls)).as_py():
                    self._note(name, f"an erased address in {column}")
            for text, what in self.texts.items():
                if _contains(leaf, text):
                    self._note(name, f"{what} in {column}")

    def _note(self, name: str, what: str) -> None:
        said = f"{name}: {what}"
        if said not in self.found.left:
            self.found.left.append(said)


def _leaves(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """The arrays of text and of bytes beneath a column, whatever it is nested in."""
    for chunk in column.chunks:
        yield from _leaves_of(chunk)


def _leaves_of(array: pa.Array) -> Iterator[pa.Array]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves_of(array.storage)
    elif pa.types.is_dictionary(kind):
        yield from _leaves_of(array.dictionary_decode())
    elif pa.types.is_struct(kind):
        for each in array.flatten():
            yield from _leaves_of(each)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        yield from _leaves_of(array.flatten() if not pa.types.is_map(kind) else array.items)
    elif pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        yield pa.array([None if each is None else each.hex() for each in array.to_pylist()])
    elif any(
        is_text(kind)
        for is_text in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    ):
        yield array


def _contains(values: pa.Array, text: bytes) -> bool:
    binary = values.cast(pa.large_binary())
    return bool(pc.any(pc.match_substring(binary, pattern=text)).as_py())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)
