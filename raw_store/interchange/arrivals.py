"""Arrivals: exchanges that other programs recorded become rows of one feed.

Ids are derived from what was recorded, so importing again adds nothing. Rows that an archive of
ours wrote are restored as they were, with their ids.
"""

import logging
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pyarrow.compute as pc

from .. import index
from ..archive import Archive
from ..decode import codings, decode
from ..feeds import Feed
from ..ids import derived_id, new_id
from ..open_segment import SealLimits
from ..payload import Headers, Payload, digest
from ..rows import payload_bytes
from ..segment_writer import write_segment
from ..spool import Spool
from ..versions import newest
from .http import header
from .redaction import Redaction

logger = logging.getLogger(__name__)

LONGEST_BODY = 256 * 1024 * 1024
"""Bytes to which a body is decoded; more is kept encoded, and marked."""
SCRATCH = Path(tempfile.gettempdir())
"""Where bodies too large for memory wait, in files without names."""

_LIMITS = SealLimits(rows=2_000, bytes=32 * 1024 * 1024)
_NOBODY = UUID(int=0)


@dataclass(slots=True)
class Arrived:
    """What an import did."""

    added: int = 0
    known: int = 0
    """Exchanges that were archived already."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """What is no exchange, counted by what it is."""
    problems: list[str] = field(default_factory=list)
    """What could not be taken as it should be, each with its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One exchange as another program recorded it, secrets and all."""

    id_parts: tuple[str, ...]
    """What names it in the file it comes from."""
    url: str
    method: str = "GET"
    request_headers: Headers = ()
    request_body: bytes | None = None
    status: int | None = None
    reason: str | None = None
    http_version: str | None = None
    headers: Headers = ()
    fetched_at: datetime
    elapsed_ms: int | None = None
    content_type: str | None = None
    """Where there are no headers to say it."""
    content: bytes | Spool | None = None
    """The body, chunks joined."""
    is_decoded: bool = False
    """Whether its content codings are undone already."""
    body_digest: str | None = None
    body_size: int | None = None
    payload_id: UUID | None = None
    """Of a revisit, the fetch that holds the body."""
    truncated: str | None = None
    error: str | None = None


class Arrivals:
    """Archives exchanges that are not archived yet, in constant memory."""

    def __init__(self, archive: Archive, feed: Feed, redaction: Redaction) -> None:
        self.arrived = Arrived()
        self.feed = feed
        self.archive = archive
        self._redaction = redaction
        self._writer = archive.sync_writer(feed.name, limits=_LIMITS)
        # What only a damaged segment holds is imported again, which repairs the archive.
        captures = archive.captures(feed.name, on_damaged=lambda error: logger.warning("%s", error))
        self._known = set(captures["fetch_id"].to_pylist())
        counted = pc.value_counts(captures["run_id"])
        self._in_run = Counter({each["values"]: each["counts"] for each in counted.to_pylist()})
        complete = captures.filter(captures["run_is_complete"])
        self._complete = set(complete["run_id"].unique().to_pylist())
        self._ended: list[str] = []
        """Runs found complete since the last seal."""
        self._positions: Counter[UUID] = Counter()
        self._restored: list[Payload] = []
        self._restored_bytes = 0
        self._awaited: set[str] = set()
        """Holders that restored revisits name and that did not arrive yet."""

    def add(self, recorded: Recorded, run_id: UUID) -> Payload:
        """Archive an exchange, unless it is archived; return its row, as it is or would be."""
        position = self._positions[run_id]
        self._positions[run_id] += 1
        payload = self._payload(recorded, run_id, position)
        if str(payload.fetch_id) in self._known:
            self.arrived.known += 1
            return payload
        if self._restored or self._writer.is_full:
            self.seal()
        row = self._writer.append(payload)
        self._count(row)
        return row

    def restore(self, row: Payload, run_fetch_count: int | None) -> None:
        """Archive a row exactly as it is, but for secrets that its archive did not know as such."""
        if str(row.fetch_id) in self._known:
            self.arrived.known += 1
        else:
            if self._writer.pending or self._restored_is_full:
                self.seal()
            row = self._redaction.redact(row)
            self._restored.append(row)
            self._restored_bytes += payload_bytes(row) + sum(
                each.size for each in (row.spooled_body, row.spooled_encoded) if each
            )
            self._count(row)
            if row.payload_id:
                self._awaited.add(str(row.payload_id))
        if run_fetch_count is not None and self._in_run[str(row.run_id)] >= run_fetch_count:
            self.end_run(row.run_id)

    def end_run(self, run_id: UUID) -> None:
        """Every fetch of a run has arrived."""
        if str(run_id) not in self._complete:
            self._complete.add(str(run_id))
            self._ended.append(str(run_id))

    def seal(self) -> None:
        """Make what arrived durable and acknowledged. Raises `SealFailed`."""
        ended, self._ended = self._ended, []
        if not self._restored:
            self._writer.seal(complete_runs=ended)
            return
        rows, self._restored, self._restored_bytes = self._restored, [], 0
        info = write_segment(
            self.archive.url,
            self.feed.name,
            str(new_id()),
            rows,
            complete_runs=ended,
            sealed_at=datetime.now(UTC),
        )
        prefixes = index.key_prefixes(row.request_key for row in rows)
        index.commit(info, newest(rows), prefixes=prefixes)
        # What the writer knows of versions is older than this.
        self._writer = self.archive.sync_writer(self.feed.name, limits=_LIMITS)

    def missing_holders(self) -> list[str]:
        """The fetches that restored revisits name and that are not archived."""
        return sorted(self._awaited - self._known)

    @property
    def _restored_is_full(self) -> bool:
        return len(self._restored) >= _LIMITS.rows or self._restored_bytes >= _LIMITS.bytes

    def _count(self, row: Payload) -> None:
        self._known.add(str(row.fetch_id))
        self._in_run[str(row.run_id)] += 1
        self.arrived.added += 1

    def _payload(self, recorded: Recorded, run_id: UUID, position: int) -> Payload:
        content_type = header(recorded.headers, "content-type") or recorded.content_type
        bare = Payload(
            fetch_id=_NOBODY,
            run_id=run_id,
            sequence=position,
            feed=self.feed.name,
            method=recorded.method,
            url=recorded.url,
            request_headers=recorded.request_headers,
            request_body=recorded.request_body or None,
            request_key="",
            status=recorded.status,
            reason=recorded.reason,
            http_version=recorded.http_version,
            headers=recorded.headers,
            fetched_at=recorded.fetched_at,
            elapsed_ms=recorded.elapsed_ms,
            content_type=content_type,
            content_encoding=header(recorded.headers, "content-encoding"),
            body_digest=recorded.body_digest,
            body_size=recorded.body_size,
            payload_id=recorded.payload_id,
            truncated=recorded.truncated,
            error=recorded.error,
        )
        whole = _with_content(bare, recorded, keep_encoded=self.feed.keep_encoded)
        payload = self._redaction.redact(whole)
        return replace(
            payload,
            request_key=self._redaction.request_key(whole, self.feed.key_headers),
            # Of what is masked, so that an id says nothing of a secret.
            fetch_id=derived_id(
                recorded.fetched_at,
                self.feed.name,
                recorded.fetched_at.isoformat(),
                *recorded.id_parts,
                payload.url,
                payload.body_digest or "",
                payload.encoded_digest or "",
            ),
        )


def _with_content(payload: Payload, recorded: Recorded, *, keep_encoded: bool) -> Payload:
    """The payload with its bodies and digests, as the archiving client would have made it."""
    content = recorded.content
    if content is None or payload.status == 304:
        return payload
    names = () if recorded.is_decoded else codings(payload.content_encoding)
    if recorded.status is not None and not recorded.is_decoded:
        payload = replace(
            payload,
            encoded_digest=content.digest if isinstance(content, Spool) else digest(content),
            encoded_size=content.size if isinstance(content, Spool) else len(content),
        )
    if not names or not content:
        return _with_body(payload, content)
    decoded = decode(content, payload.content_encoding, LONGEST_BODY, spool=SCRATCH)
    # A body that is cut off does not decode to its end; that it is cut off is said already.
    said = decoded.error if not payload.truncated else None
    payload = replace(payload, error=payload.error or said)
    if keep_encoded or payload.error or payload.truncated:
        kept = "spooled_encoded" if isinstance(content, Spool) else "encoded_body"
        payload = replace(payload, **cast("dict[str, Any]", {kept: content}))
    return payload if decoded.body is None else _with_body(payload, decoded.body)


def _with_body(payload: Payload, body: bytes | Spool) -> Payload:
    if isinstance(body, Spool):
        return replace(payload, spooled_body=body, body_digest=body.digest, body_size=body.size)
    return replace(payload, body=body, body_digest=digest(body), body_size=len(body))
