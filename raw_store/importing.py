"""Import: histories recorded by other programs become payloads with their true times.

Ids are derived from what was imported, so importing a file again adds nothing, and a
history imported after newer fetches gives the same versions as if it had come first. The snapshots
of one moment are one run, and each run is complete.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from .archive import Archive
from .errors import ImportRefused
from .ids import derived_id
from .open_segment import SealLimits
from .payload import Payload, digest, request_key
from .progress import Progress
from .snapshots import Snapshot
from .writer import SyncWriter

logger = logging.getLogger(__name__)

_LIMITS = SealLimits(rows=2_000, bytes=32 * 1024 * 1024)


@dataclass(slots=True)
class Imported:
    """What an import did."""

    added: int = 0
    known: int = 0
    """Snapshots that were archived already."""


def import_snapshots(
    archive: Archive, feed: str, snapshots: Iterable[Snapshot], progress: Progress | None = None
) -> Imported:
    """Archive snapshots that are not archived yet, in constant memory.

    When a snapshot cannot be read (`ImportRefused`), those before it are sealed and stay; nothing
    of it is archived. Importing the mended file adds the rest.
    """
    importer = _Importer(archive, feed)
    try:
        for snapshot in snapshots:
            importer.add(snapshot)
            if progress:
                progress.advance()
    except ImportRefused:
        importer.seal()
        raise
    importer.finish_run()
    importer.seal()
    return importer.imported


class _Importer:
    """Turns snapshots into payloads; seals where a run ends, to record complete runs shortly."""

    def __init__(self, archive: Archive, feed: str) -> None:
        self.imported = Imported()
        self._feed = feed
        self._writer: SyncWriter = archive.sync_writer(feed, limits=_LIMITS)
        # What only a damaged segment holds is imported again, which repairs the archive.
        captures = archive.captures(feed, on_damaged=lambda error: logger.warning("%s", error))
        self._known = set(captures["fetch_id"].to_pylist())
        complete = captures.filter(captures["run_is_complete"])
        self._complete = set(complete["run_id"].unique().to_pylist())
        self._run = ""
        self._positions: Counter[str] = Counter()
        self._ended: list[str] = []
        """Runs found complete since the last seal."""
        self._in_segment: set[str] = set()

    def add(self, snapshot: Snapshot) -> None:
        at = snapshot.fetched_at
        run_id = derived_id(at, "run", self._feed, at.isoformat())
        if str(run_id) != self._run:
            self.finish_run()
            self._run = str(run_id)
        if self._writer.is_full:
            self.seal()
        payload = self._payload(snapshot, run_id)
        if str(payload.fetch_id) in self._known:
            self.imported.known += 1
            return
        self._writer.append(payload)
        self._known.add(str(payload.fetch_id))
        self._in_segment.add(self._run)
        self.imported.added += 1

    def finish_run(self) -> None:
        if self._run and self._run not in self._complete:
            self._complete.add(self._run)
            self._ended.append(self._run)

    def seal(self) -> None:
        ended, self._ended = self._ended, []
        rows_of, self._in_segment = self._in_segment, set()
        every = bool(rows_of) and set(ended) <= rows_of <= self._complete
        self._writer.seal(complete_runs="*" if every else ended)

    def _payload(self, snapshot: Snapshot, run_id: UUID) -> Payload:
        at, body_digest = snapshot.fetched_at, digest(snapshot.body)
        position = self._positions[str(run_id)]
        self._positions[str(run_id)] += 1
        return Payload(
            fetch_id=derived_id(
                at,
                self._feed,
                at.isoformat(),
                snapshot.method,
                snapshot.url,
                snapshot.request_body or b"",
                body_digest,
            ),
            run_id=run_id,
            sequence=position,
            feed=self._feed,
            method=snapshot.method,
            url=snapshot.url,
            request_body=snapshot.request_body,
            request_key=request_key(snapshot.method, snapshot.url, snapshot.request_body),
            status=snapshot.status,
            fetched_at=at,
            body=snapshot.body,
            body_digest=body_digest,
            body_size=len(snapshot.body),
        )
