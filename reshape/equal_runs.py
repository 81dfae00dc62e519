"""Equal runs: rows that a table and a copy have in the same order, found without a join.

A copy is ordered by the natural key, and a bulk load writes a table in that order, so long runs of
a table mostly are runs of its copy. Keys are unique on both sides: where a piece of one equals a
piece of the other, column by column, its rows need no more looking at. All others are left to a
join; what order the rows come in decides only how many those are.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .columns import Columns

_PIECE = 4_096
"""Rows that are compared at once: where one of them differs, all go to the join."""
_HELD_GROUPS = 4
_GROUP_BYTES = 32 * 1024 * 1024
"""Larger row groups are not held in memory."""


class EqualRuns:
    """A copy's file, and which of its rows were met in the table."""

    @classmethod
    def of(cls, path: Path, columns: Columns) -> "EqualRuns | None":
        """None where the file has other types than the model, or its keys cannot be sought."""
        file = pq.ParquetFile(path)
        held = file.schema_arrow
        if held.names != columns.schema.names or held.types != columns.schema.types:
            return None
        place = held.get_field_index(columns.key[0])
        if not (pa.types.is_string(held.types[place]) or pa.types.is_integer(held.types[place])):
            return None
        groups = [file.metadata.row_group(each) for each in range(file.num_row_groups)]
        sought = [group.column(place).statistics for group in groups]
        if not all(each is not None and each.has_min_max for each in sought):
            return None
        if any(group.total_byte_size > _GROUP_BYTES for group in groups):
            return None
        return cls(file, columns, [each.max for each in sought])

    def __init__(self, file: pq.ParquetFile, columns: Columns, last: list[str] | list[int]) -> None:
        """`last` is the last value that each row group has in the key's first column."""
        self._file = file
        self._schema = columns.schema
        self._key = columns.key
        self._last = last
        self._starts = [0]
        for group in range(file.num_row_groups):
            self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
        self._held: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._reads_left = file.num_row_groups + _HELD_GROUPS
        """Row groups that may be read to seek: rows in another order would have it go on and on."""
        self._met: list[tuple[int, int]] = []
        """Runs that were met: the number of the first row, and of the one after the last."""

    @property
    def has_met(self) -> bool:
        """Whether a run was found."""
        return bool(self._met)

    def others(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Those rows of a table, in the schema of its model, that no equal run was found for."""
        row = told = 0
        place = None
        while row < len(batch):
            if place is None:
                place = self._sought(batch, row)
            count = 0 if place is None else self._equal(batch, row, place)
            if not count or place is None:
                place = None
                row += _PIECE
                continue
            if told < row:
                yield batch.slice(told, row - told)
            self._met.append((place, place + count))
            place += count
            row += count
            told = row
        if told < len(batch):
            yield batch.slice(told)

    def unmet(self) -> Iterator[pa.RecordBatch]:
        """Those rows of the copy that were not met."""
        end = self._starts[-1]
        row = 0
        for first, after in [*sorted(self._met), (end, end)]:
            while row < first:
                group = self._group_of(row)
                stop = min(first, self._starts[group + 1])
                yield self._read(group).slice(row - self._starts[group], stop - row)
                row = stop
            row = after

    def _sought(self, batch: pa.RecordBatch, row: int) -> int | None:
        """Where the copy has the row with the key of this one, if it can be told quickly."""
        keys = [batch.column(name)[row] for name in self._key]
        group = bisect_left(self._last, keys[0].as_py())
        if group == len(self._last) or not self._may_read(group):
            return None
        rows = self._read(group)
        found = pc.equal(rows.column(self._key[0]), keys[0])
        for name, value in zip(self._key[1:], keys[1:], strict=True):
            found = pc.and_(found, pc.equal(rows.column(name), value))
        place = pc.index(found, True).as_py()
        return None if place < 0 else self._starts[group] + place

    def _equal(self, batch: pa.RecordBatch, row: int, place: int) -> int:
        """How many rows from here on are equal: all of a piece, or none."""
        group = self._group_of(place)
        if group == len(self._last) or not self._may_read(group):
            return 0
        rows = self._read(group).slice(place - self._starts[group], _PIECE)
        piece = batch.slice(row, len(rows))
        rows = rows.slice(0, len(piece))
        return len(piece) if piece.equals(rows) else 0

    def _group_of(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _may_read(self, group: int) -> bool:
        return group in self._held or self._reads_left > 0

    def _read(self, group: int) -> pa.RecordBatch:
        if group in self._held:
            self._held.move_to_end(group)
            return self._held[group]
        while len(self._held) >= _HELD_GROUPS:
            self._held.popitem(last=False)
        self._reads_left -= 1
        table = self._file.read_row_group(group, use_threads=False).combine_chunks()
        arrays = [column.chunk(0) for column in table.columns]
        self._held[group] = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return self._held[group]
