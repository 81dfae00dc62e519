"""Versions that a run confirms: what was fetched before, for a page that has not changed since.

A run asks in much the order in which the pages were archived, so a row group that was read for one
page is kept for those that follow: of a thousand pages, one waits for the disk.
"""

import threading
from collections import OrderedDict
from uuid import UUID

import pyarrow as pa

from .archive import Archive
from .large_bodies import read_spooled
from .models import Segment
from .payload import Payload
from .rows import SCHEMA, to_payloads, twin_with_body
from .segments import groups_spanning, large_columns, opened, read_group

_HELD = 64 * 1024 * 1024
"""Bytes of bodies that are kept; the row group read last is, however large."""
_COLUMNS = [name for name in SCHEMA.names if name != "encoded_body"]


class ConfirmedVersions:
    """Reads the payloads of one feed that hold a version. May be asked from any thread."""

    def __init__(self, archive: Archive, feed: str, *, held: int = _HELD) -> None:
        self._archive = archive
        self._feed = feed
        self._limit = held
        self._groups: OrderedDict[int, _Group] = OrderedDict()
        self._of: dict[UUID, tuple[int, int]] = {}
        self._number = 0
        self._lock = threading.Lock()

    def at_once(self, fetch_id: UUID) -> Payload | None:
        """The payload with its body where it is in memory."""
        with self._lock:
            place = self._of.get(fetch_id)
            if place is None:
                return None
            number, index = place
            self._groups.move_to_end(number)
            return self._groups[number].payload(index)

    def read(self, fetch_id: UUID) -> Payload:
        """The payload with its body, which comes as `spooled_body` from `SPOOLED_FROM` bytes on.

        Raises `PayloadNotFound`, and `SegmentCorrupt` for a segment that cannot be read.
        """
        found = self.at_once(fetch_id)
        if found is None:
            group = self._read_group(fetch_id)
            if group is None:
                return read_spooled(self._archive, fetch_id)
            self._keep(group)
            found = group.payload(group.ids.index(fetch_id))
        return found

    def _read_group(self, fetch_id: UUID) -> "_Group | None":
        """The row group of a fetch; None where none has it, or it is one large body."""
        wanted = str(fetch_id)
        spanning = Segment.objects.filter(
            feed=self._feed, first_fetch_id__lte=fetch_id, last_fetch_id__gte=fetch_id
        )
        for segment in spanning.order_by("name"):
            with opened(self._archive.url, segment.path) as file:
                for group in groups_spanning(file, wanted, wanted):
                    ids = read_group(file, segment.path, group, ["fetch_id"])["fetch_id"]
                    if wanted not in ids.to_pylist():
                        continue
                    if large_columns(file, group):
                        return None
                    return _Group(read_group(file, segment.path, group, _COLUMNS))
        return None

    def _keep(self, group: "_Group") -> None:
        with self._lock:
            self._number += 1
            self._groups[self._number] = group
            self._of |= {each: (self._number, index) for index, each in enumerate(group.ids)}
            while len(self._groups) > 1 and self._held > self._limit:
                number, oldest = self._groups.popitem(last=False)
                for each in oldest.ids:
                    if self._of.get(each, (0, 0))[0] == number:
                        del self._of[each]

    @property
    def _held(self) -> int:
        return sum(group.size for group in self._groups.values())


class _Group:
    """The payloads of one row group; each body is copied when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._bodies = table["body"].combine_chunks()
        self._rows = to_payloads(table.drop_columns("body"))
        self.ids = [row.fetch_id for row in self._rows]
        self.size = self._bodies.nbytes

    def payload(self, index: int) -> Payload:
        return twin_with_body(self._rows[index], self._bodies[index].as_py())
