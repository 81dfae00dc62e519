"""One fetch whose body may be too large for memory."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from django.conf import settings

from .archive import Archive
from .models import Segment
from .payload import Payload
from .segments import SPOOLED_FROM, large_columns, opened, read_group, stream_chunk
from .spool import Spool


def spool_folder() -> Path:
    """Where large bodies lie meanwhile: not in the system's folder of temporary files, which is
    often in memory."""
    return Path(settings.ROOTCELLAR_HOME) / "spool"


def read_spooled(archive: Archive, fetch_id: UUID) -> Payload:
    """`Archive.read`, but a body from `SPOOLED_FROM` bytes on comes as `spooled_body`.

    Raises `PayloadNotFound`, and `SegmentCorrupt` for a segment that cannot be read.
    """
    row = archive.read_many([fetch_id], bodies=False).get(fetch_id)
    holder = row
    if row and row.is_revisit and row.payload_id:
        holder = archive.read_many([row.payload_id], bodies=False).get(row.payload_id)
    if row and holder and (holder.body_size or 0) >= SPOOLED_FROM:
        spool = _spool_of(archive, holder)
        if spool:
            return replace(row, spooled_body=spool, body_size=spool.size)
    return archive.read(fetch_id)


def _spool_of(archive: Archive, holder: Payload) -> Spool | None:
    """The body that a row holds, or None where it does not have a row group of its own."""
    spanning = Segment.objects.filter(
        feed=holder.feed,
        first_fetch_id__lte=holder.fetch_id,
        last_fetch_id__gte=holder.fetch_id,
    )
    for segment in spanning:
        with opened(archive.url, segment.path) as file:
            for group in range(file.num_row_groups):
                chunk = large_columns(file, group).get("body")
                if chunk is None:
                    continue
                ids = read_group(file, segment.path, group, ["fetch_id"])["fetch_id"].to_pylist()
                if ids == [str(holder.fetch_id)]:
                    pieces = stream_chunk(archive.url, segment.path, chunk)
                    return Spool.of(pieces, spool_folder())
    return None
