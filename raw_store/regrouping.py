"""Regrouping: the rows of some segments, written anew as others.

Rows come out ordered by request and time, so that the versions of one address lie side by side
and are compressed together. A body that recurs within a request is stored once. Nothing here
touches the index: `raw_store.compaction` puts the new segments in the place of the old.

Bodies pass through buckets, Arrow files in an unnamed place on disk, so that memory holds one
row group of them at a time however large the segments are.
"""

import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from .captures import complete_runs
from .ids import new_id
from .pages import Value
from .rows import SCHEMA
from .segment_writer import (
    BODIES,
    COMPACTED,
    RowGroup,
    any_stored,
    segment_path,
    without_bodies,
    write_groups,
)
from .segments import (
    CLUSTERED_BY,
    SegmentInfo,
    body_bytes,
    large_columns,
    opened,
    read_group,
    read_info,
    stream_chunk,
)
from .spool import Spool

TARGET_BYTES = 256 * 1024 * 1024
"""Of bodies, in one segment; a new one is begun where this is reached."""
TARGET_ROWS = 250_000
BUCKET_BYTES = 64 * 1024 * 1024

_LIGHT = [
    "fetch_id",
    "run_id",
    "request_key",
    "fetched_at",
    "sequence",
    "payload_id",
    "body_digest",
    "body_size",
]

Advance = Callable[[int], None]
Protect = Callable[[Collection[str]], set[str]]


@dataclass(slots=True, kw_only=True)
class Changes:
    """What is to be different about the rows, beside their order. Fetch ids, as text."""

    drop: Collection[str] = frozenset()
    """Rows to leave out."""
    without_body: Collection[str] = frozenset()
    """Rows whose own body is to go; revisits of it stand for nothing from then on."""
    protect: Protect = lambda _: set()
    """Given fetch ids, which of them something else names as the holder of a body."""


@dataclass(slots=True)
class _Row:
    """Where a row comes from, and where it goes."""

    fetch_id: str
    origin: tuple[int, int]
    """Segment and row group."""
    index: int
    """Within its row group."""
    weight: int
    """Bytes of the bodies it stores."""
    is_large: bool


@dataclass(slots=True)
class _Plan:
    rows: list[_Row]
    """In their new order."""
    light: pa.Table
    """Their metadata, in the same order."""
    holders: dict[str, str] = field(default_factory=dict)
    """Rows whose body recurs: fetch id → the fetch that holds it."""
    cuts: list[list[tuple[int, int]]] = field(default_factory=list)
    """Per new segment its row groups, each a range of `rows`."""


def regroup(
    url: str,
    paths: Sequence[str],
    *,
    replaces: Sequence[str],
    scratch: Path,
    changes: Changes | None = None,
    advance: Advance | None = None,
) -> list[tuple[SegmentInfo, pa.Array]]:
    """Write the rows of the segments at `paths` as new ones; return each with the fetch ids in it.

    Those whose body is removed are not among the ids. At least one segment is written, also where
    no row is left: it says which runs are complete.
    `scratch` is a folder with room for the bodies. Raises `SegmentCorrupt`, `SealFailed`.
    """
    changes = changes or Changes()
    infos = [read_info(url, path) for path in paths]
    light, rows, complete = _read_light(url, infos, changes)
    plan = _order(light, rows, changes)
    _cut(plan)
    elsewhere = sorted(complete.difference(light["run_id"].unique().to_pylist()))
    written: list[tuple[SegmentInfo, pa.Array]] = []
    with _Buckets(url, paths, plan, scratch, advance) as buckets:
        for groups in plan.cuts or [[]]:
            first = groups[0][0] if groups else 0
            part = plan.light.slice(first, groups[-1][1] - first if groups else 0)
            info = _describe(infos[0].feed, part, plan, complete, changes)
            info = replace(info, replaces=list(replaces), complete_runs=elsewhere)
            elsewhere = []
            tables = (buckets.group(begin, end, changes) for begin, end in groups)
            written.append((write_groups(url, info, tables, COMPACTED), _with_body(part, changes)))
    return written


def _read_light(
    url: str, infos: Sequence[SegmentInfo], changes: Changes
) -> tuple[pa.Table, list[_Row], set[str]]:
    """The metadata of every row to be kept, each fetch once; where it lies; the complete runs."""
    tables: list[pa.Table] = []
    rows: list[_Row] = []
    complete: set[str] = set()
    seen: set[str] = set(changes.drop)
    for number, info in enumerate(infos):
        complete |= complete_runs(info, None)
        with opened(url, info.path) as file:
            for group in range(file.num_row_groups):
                table = read_group(file, info.path, group, _LIGHT).select(_LIGHT)
                complete |= complete_runs(info, table["run_id"])
                is_large = bool(large_columns(file, group))
                encoded = body_bytes(file, group, "encoded_body") // max(table.num_rows, 1)
                keep: list[int] = []
                columns = (table[name].to_pylist() for name in ("fetch_id", "payload_id"))
                sizes = table["body_size"].to_pylist()
                for index, (fetch_id, payload_id) in enumerate(zip(*columns, strict=True)):
                    if fetch_id in seen:
                        continue
                    seen.add(fetch_id)
                    keep.append(index)
                    own = (sizes[index] or 0) if payload_id == fetch_id else 0
                    rows.append(_Row(fetch_id, (number, group), index, own + encoded, is_large))
                tables.append(table.take(pa.array(keep, pa.int64())))
    schema = pa.schema([SCHEMA.field(name) for name in _LIGHT])
    light = pa.concat_tables([schema.empty_table(), *(t.cast(schema) for t in tables)])
    return light, rows, complete


def _order(light: pa.Table, rows: list[_Row], changes: Changes) -> _Plan:
    """The rows by request and time, and which of them need not store their body again."""
    order = pc.sort_indices(light, [(name, "ascending") for name in CLUSTERED_BY])
    plan = _Plan(rows=[rows[index] for index in order.to_pylist()], light=light.take(order))
    recurring = _recurring(plan.light, changes.without_body)
    protected = changes.protect(recurring.keys()) if recurring else set()
    plan.holders = {row: holder for row, holder in recurring.items() if row not in protected}
    for row in plan.rows:
        if row.fetch_id in plan.holders or row.fetch_id in changes.without_body:
            row.weight = 0
    return plan


def _recurring(light: pa.Table, without_body: Collection[str]) -> dict[str, str]:
    """Rows that store a body which an earlier row of the same request stores, and that row."""
    found: dict[str, str] = {}
    request = None
    holders: dict[str, str] = {}
    columns = ("fetch_id", "request_key", "payload_id", "body_digest")
    for fetch_id, key, payload_id, digest in zip(
        *(light[name].to_pylist() for name in columns), strict=True
    ):
        if key != request:
            request, holders = key, {}
        if payload_id != fetch_id or digest is None or fetch_id in without_body:
            continue
        holder = holders.setdefault(digest, fetch_id)
        if holder != fetch_id:
            found[fetch_id] = holder
    return found


def _cut(plan: _Plan) -> None:
    """Cut the rows into row groups and segments, bounded by rows and by bytes."""
    begin = size = in_segment = segment_bytes = 0
    groups: list[tuple[int, int]] = []

    def close(end: int) -> None:
        nonlocal begin, size, in_segment, segment_bytes, groups
        if end > begin:
            groups.append((begin, end))
            in_segment, segment_bytes = in_segment + end - begin, segment_bytes + size
        begin, size = end, 0
        if in_segment >= TARGET_ROWS or segment_bytes >= TARGET_BYTES:
            plan.cuts.append(groups)
            groups, in_segment, segment_bytes = [], 0, 0

    for position, row in enumerate(plan.rows):
        is_full = position - begin == COMPACTED.rows or size + row.weight > COMPACTED.bytes
        if is_full or row.is_large or (position and plan.rows[position - 1].is_large):
            close(position)
        size += row.weight
    close(len(plan.rows))
    if groups:
        plan.cuts.append(groups)


class _Buckets:
    """Bodies on their way from their old row groups to their new ones."""

    def __init__(
        self,
        url: str,
        paths: Sequence[str],
        plan: _Plan,
        scratch: Path,
        advance: Advance | None,
    ) -> None:
        self._url = url
        self._paths = paths
        self._plan = plan
        self._scratch = scratch
        self._advance = advance or (lambda _: None)
        self._stack = ExitStack()
        self._bucket_of: list[int] = []
        self._files: list[Any] = []
        self._loaded: tuple[int, pa.Table, dict[str, list[Value]]] | None = None

    def __enter__(self) -> "_Buckets":
        self._scratch.mkdir(parents=True, exist_ok=True)
        with self._stack:
            self._fill()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def group(self, begin: int, end: int, changes: Changes) -> RowGroup:
        """The rows of a range as they are to be written."""
        bucket = self._bucket_of[begin]
        light, stored = self._load(bucket)
        first = bisect_left(self._bucket_of, bucket)
        table = light.slice(begin - first, end - begin)
        bodies = {name: found[begin - first : end - first] for name, found in stored.items()}
        row = self._plan.rows[begin]
        if row.is_large:
            for name, chunk in self._large_chunks(row).items():
                path = self._paths[row.origin[0]]
                bodies[name] = [Spool.of(stream_chunk(self._url, path, chunk), self._scratch)]
        table = _change(table, bodies, self._plan.holders, changes)
        self._advance(end - begin)
        return RowGroup(table, {name: found for name, found in bodies.items() if any_stored(found)})

    def _fill(self) -> None:
        """Take every old row group once, and put each of its rows into the bucket it goes to."""
        self._assign()
        count = self._bucket_of[-1] + 1 if self._bucket_of else 0
        schema = SCHEMA.append(pa.field("position", pa.int64()))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        writers = []
        for _ in range(count):
            file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 -- closed on exit
            self._files.append(self._stack.enter_context(file))
            writers.append(pa.ipc.new_stream(file, schema, options=options))
        for origin, positions in sorted(self._positions().items()):
            table = self._read(origin, is_large=self._plan.rows[positions[0]].is_large)
            by_bucket: dict[int, list[int]] = defaultdict(list)
            for position in positions:
                by_bucket[self._bucket_of[position]].append(position)
            for bucket, here in by_bucket.items():
                indices = pa.array([self._plan.rows[p].index for p in here], pa.int64())
                rows = table.take(indices).append_column("position", pa.array(here, pa.int64()))
                writers[bucket].write_table(rows.cast(schema))
        for writer in writers:
            writer.close()

    def _assign(self) -> None:
        """Buckets are ranges of the new order that end where a row group ends."""
        number = size = 0
        for groups in self._plan.cuts:
            for begin, end in groups:
                weight = sum(row.weight for row in self._plan.rows[begin:end])
                if size and size + weight > BUCKET_BYTES:
                    number, size = number + 1, 0
                size += max(weight, 1)
                self._bucket_of += [number] * (end - begin)

    def _positions(self) -> dict[tuple[int, int], list[int]]:
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, row in enumerate(self._plan.rows):
            found[row.origin].append(position)
        return found

    def _load(self, bucket: int) -> tuple[pa.Table, dict[str, list[Value]]]:
        """A bucket's rows in order, without their bodies; and those, not copied."""
        if self._loaded is None or self._loaded[0] != bucket:
            self._loaded = None
            file = self._files[bucket]
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
            order = pc.sort_indices(table, [("position", "ascending")])
            bodies: dict[str, list[Value]] = {}
            for name in BODIES:
                values = [value.as_buffer() for value in table[name]]
                bodies[name] = [values[index] for index in order.to_pylist()]
            light = table.drop_columns([*BODIES, "position"]).take(order)
            self._loaded = (bucket, without_bodies(light), bodies)
        return self._loaded[1:]

    def _read(self, origin: tuple[int, int], *, is_large: bool) -> pa.Table:
        path = self._paths[origin[0]]
        with opened(self._url, path) as file:
            large = large_columns(file, origin[1]) if is_large else {}
            names = [name for name in SCHEMA.names if name not in large]
            table = read_group(file, path, origin[1], names)
        for name in large:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.binary()))
        return table.select(SCHEMA.names).cast(SCHEMA)

    def _large_chunks(self, row: _Row) -> dict[str, Any]:
        with opened(self._url, self._paths[row.origin[0]]) as file:
            return large_columns(file, row.origin[1])


def _change(
    table: pa.Table, bodies: dict[str, list[Value]], holders: dict[str, str], changes: Changes
) -> pa.Table:
    """Take out the bodies that recur, and those to be removed; return the rows that say so."""
    named = table["payload_id"].to_pylist()
    kept: list[str | None] = []
    for index, (fetch_id, name) in enumerate(
        zip(table["fetch_id"].to_pylist(), named, strict=True)
    ):
        kept.append(None if name in changes.without_body else holders.get(name, name))
        if kept[-1] != fetch_id:
            bodies["body"][index] = None
        if fetch_id in changes.without_body:
            bodies["encoded_body"][index] = None
    if kept == named:
        return table
    column = table.column_names.index("payload_id")
    return table.set_column(column, SCHEMA.field("payload_id"), pa.array(kept, pa.string()))


def _with_body(part: pa.Table, changes: Changes) -> pa.Array:
    """The fetch ids of the rows that have a body, their own or another's, when all is done."""
    gone = pa.array(list(changes.without_body), pa.string())
    return part.filter(pc.invert(pc.is_in(part["payload_id"], gone)))["fetch_id"]


def _describe(
    feed: str, part: pa.Table, plan: _Plan, complete: set[str], changes: Changes
) -> SegmentInfo:
    name = str(new_id())
    sealed_at = datetime.now(UTC)
    times, ids, keys = (
        pc.min_max(part[column]).as_py() for column in ("fetched_at", "fetch_id", "request_key")
    )
    elsewhere = [*plan.holders, *changes.without_body]
    own = pc.and_kleene(
        pc.equal(part["payload_id"], part["fetch_id"]),
        pc.invert(pc.is_in(part["fetch_id"], pa.array(elsewhere, pa.string()))),
    )
    stored = pc.sum(pc.if_else(pc.fill_null(own, False), part["body_size"], 0)).as_py()
    here = set(part["run_id"].unique().to_pylist())
    return SegmentInfo(
        name=name,
        feed=feed,
        path=segment_path(feed, name, times["min"] or sealed_at),
        row_count=part.num_rows,
        body_bytes=stored or 0,
        file_bytes=0,
        first_fetched_at=times["min"],
        last_fetched_at=times["max"],
        first_fetch_id=ids["min"] and UUID(ids["min"]),
        last_fetch_id=ids["max"] and UUID(ids["max"]),
        first_request_key=keys["min"],
        last_request_key=keys["max"],
        complete_runs=[],
        incomplete_runs=sorted(here - complete),
        sealed_at=sealed_at,
        clustered=True,
    )
