"""Retry: parse payloads in quarantine again with the present code.

A transform is a pure function of its code and the payload, and both have their record files; so
a retry helps where something else has changed, such as a library that the transform calls. Where
the code has changed, any replay reads them anew.
"""

from collections.abc import Callable, Collection
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raw_store import compaction
from raw_store.archive import Archive
from raw_store.locks import exclusive

from .link_state import forget_state
from .models import SourceState
from .parse import Parsed, label_of, parse_payloads
from .records import OUTCOMES, parsed_segments, record_files
from .registry import Transform
from .regrouping import drop_earlier

_AT_ONCE = 256


def retry(
    transform: Transform,
    fetch_ids: Collection[str],
    archive: Archive,
    *,
    advance: Callable[[int], None] | None = None,
) -> Parsed:
    """Parse these payloads again; what their records and outcomes said before is replaced.

    Left as they are: payloads that this code has not parsed, which the next replay does, and those
    whose body is gone. Raises `ArchiveError` where the archive cannot be read. A retry that is
    killed leaves for each payload what was or what is, and can be repeated.
    """
    label = label_of(transform)
    total = Parsed()
    with exclusive(compaction.LOCK), exclusive("load"):
        wanted = sorted(_parsed_among(fetch_ids, label))
        # Before anything is written: a link upon it would not look at what is read now, and a
        # replay that finds nothing new would not link at all.
        forget_state(transform.source)
        SourceState.objects.filter(source=transform.source).update(inputs="")
        for start in range(0, len(wanted), _AT_ONCE):
            found = archive.read_many([UUID(each) for each in wanted[start : start + _AT_ONCE]])
            payloads = [found[each] for each in sorted(found) if found[each].has_body]
            if payloads:
                before = parsed_segments(label)
                total.add(parse_payloads(transform, payloads, attempt=uuid4().hex))
                again = {str(payload.fetch_id) for payload in payloads}
                drop_earlier(label, again, keep=parsed_segments(label) - before)
            if advance:
                advance(len(found))
    return total


def _parsed_among(fetch_ids: Collection[str], label: str) -> set[str]:
    """Those of the fetches that the transform has an outcome of, read or not."""
    wanted = pa.array(sorted(fetch_ids), pa.string())
    found: set[str] = set()
    for path in record_files(OUTCOMES, label, sorted(parsed_segments(label))):
        parsed = pq.read_table(path, columns=["fetch_id"])["fetch_id"]
        found.update(parsed.filter(pc.is_in(parsed, wanted)).to_pylist())
    return found
