"""The open segment: payloads appended but not yet sealed, and which of them are revisits.

Synchronous; `raw_store.writer` gives it to async code.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter

import pyarrow as pa

from .errors import PayloadInvalid
from .ids import new_id
from .pages import LARGEST_BODY
from .payload import Payload, digest
from .rows import IDS, SCHEMA, changed
from .segment_writer import Gathering, write_segment
from .segments import SegmentInfo
from .versions import Judgement, Latest, judge, latest_of, request_header

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealLimits:
    """When an open segment is sealed without being asked; end of run seals as well."""

    rows: int = 4_096
    bytes: int = 64 * 1024 * 1024
    """Of bodies, as held in memory."""
    age_seconds: float = 30.0
    """Since its first payload; checked by the async writer only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Rows taken out of the open segment, on their way to a file."""

    rows: Gathering
    complete_runs: Sequence[str]
    latest: dict[str, Latest]


class OpenSegment:
    """Payloads of one feed, waiting to be sealed."""

    def __init__(
        self, url: str, feed: str, limits: SealLimits, *, remembered: int = 10_000
    ) -> None:
        source, _, rest = feed.partition(".")
        if not (source.isidentifier() and rest.replace(".", "_").isidentifier()):
            raise ValueError(f"A feed is named source.feed, for example quakes.day; got {feed!r}.")
        self.feed = feed
        self.limits = limits
        self.remembered = remembered
        """Of how many requests the latest versions are kept in memory, besides the open rows'."""
        self._url = url
        self._rows = Gathering()
        self._bytes = 0
        # Per request: what the index says is the latest version, and the newest this writer saw.
        # Bounded; the requests of the open segment are always the most recent ones.
        self._indexed: dict[str, Latest | None] = {}
        self._seen: OrderedDict[str, Latest] = OrderedDict()
        self._latest: dict[str, Latest] = {}
        self._knows_all = False
        self.has_asked = False
        """Whether the index was asked for anything yet."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_full(self) -> bool:
        return len(self._rows) >= self.limits.rows or self._bytes >= self.limits.bytes

    def needs_latest(self, payload: Payload) -> bool:
        """Whether the index must be asked for this request's latest version first."""
        if payload.status == 304:
            # Another process may have archived the version that was asked about.
            return _confirmed(payload, self._versions(payload.request_key)) is None
        if self._knows_all or payload.request_key in self._indexed:
            return False
        return _judge(payload, "" if payload.has_body else payload.body_digest) == "version"

    def indexed(self, request_key: str) -> tuple[bool, Latest | None]:
        """Whether it is known what the index says of a request, and that."""
        if request_key in self._indexed:
            return True, self._indexed[request_key]
        return self._knows_all, None

    def learn(self, known: Mapping[str, Latest | None], *, all_known: bool = False) -> None:
        """Keep what the index says of requests; `all_known` if it knows no other of this feed."""
        self._indexed.update(known)
        self._knows_all = self._knows_all or all_known
        self.has_asked = True

    def append(self, payload: Payload) -> Payload:
        """Add a payload and return its row: digest, size and `payload_id` filled in, a body equal
        to the request's latest version, or confirmed by a 304, left out.

        Raises `PayloadInvalid` for what no row can hold.
        """
        if payload.feed != self.feed:
            raise PayloadInvalid(
                f"Fetch {payload.fetch_id} is of feed {payload.feed}; "
                f"this writer is for {self.feed}."
            )
        row = self._as_row(payload)
        _check_storable(row)
        self._bytes += self._rows.add(row)
        seen = latest_of(row)
        if seen is not None:
            known = self._latest.get(row.request_key)
            if known is None or known.order < seen.order:
                self._latest[row.request_key] = seen
            self._seen[row.request_key] = seen
            self._seen.move_to_end(row.request_key)
            if len(self._seen) > self.remembered + 2 * self.limits.rows:
                oldest, _ = self._seen.popitem(last=False)
                self._indexed.pop(oldest, None)
                self._knows_all = False
        return row

    def close(self, complete_runs: Sequence[str] = ()) -> Closed:
        """Take all rows out, leaving the open segment empty."""
        closed = Closed(rows=self._rows, complete_runs=complete_runs, latest=self._latest)
        self._rows, self._latest, self._bytes = Gathering(), {}, 0
        return closed

    def write(self, closed: Closed) -> SegmentInfo:
        """Make closed rows a durable file, not yet acknowledged. Raises `SealFailed`."""
        info = write_segment(
            self._url,
            self.feed,
            str(new_id()),
            closed.rows,
            complete_runs=closed.complete_runs,
            sealed_at=datetime.now(UTC),
        )
        logger.info(
            "segment written feed=%s segment=%s payloads=%d bytes=%d",
            info.feed,
            info.name,
            info.row_count,
            info.file_bytes,
        )
        return info

    def _as_row(self, payload: Payload) -> Payload:
        versions = self._versions(payload.request_key)
        if payload.status == 304:
            confirmed = _confirmed(payload, versions)
            if confirmed is None:
                return changed(
                    payload, body=None, spooled_body=None, payload_id=None, body_digest=None
                )
            return _revisit(payload, confirmed, payload.body_size)
        body_digest, size = _measured(payload)
        if _judge(payload, body_digest) == "version":
            for latest in versions:
                # The holder itself, appended again, keeps its body.
                if latest.body_digest == body_digest and latest.payload_id != payload.fetch_id:
                    return _revisit(payload, latest, size)
        holder = payload.fetch_id if payload.has_body else payload.payload_id
        return changed(payload, body_digest=body_digest, body_size=size, payload_id=holder)

    def _versions(self, request_key: str) -> list[Latest]:
        """The versions a revisit of this request may name, the newest this writer saw first."""
        found = (self._seen.get(request_key), self._indexed.get(request_key))
        return [latest for latest in found if latest]


def _revisit(payload: Payload, holder: Latest, size: int | None) -> Payload:
    """The payload without its body, naming the fetch that holds it."""
    return changed(
        payload,
        body=None,
        spooled_body=None,
        body_digest=holder.body_digest,
        body_size=size,
        payload_id=holder.payload_id,
    )


def _confirmed(payload: Payload, versions: list[Latest]) -> Latest | None:
    """The version a 304 confirms: the one whose validators its request carried."""
    etag = request_header(payload, "if-none-match")
    last_modified = request_header(payload, "if-modified-since")
    for latest in versions:
        if (
            (etag is None and last_modified is None)
            or (etag is not None and latest.etag == etag)
            or (etag is None and latest.last_modified == last_modified)
        ):
            return latest
    return None


def _judge(payload: Payload, body_digest: str | None) -> Judgement | None:
    return judge(
        status=payload.status,
        error=payload.error,
        truncated=payload.truncated,
        body_digest=body_digest,
    )


def _measured(payload: Payload) -> tuple[str | None, int | None]:
    """The digest and the size of its body, where it brings one; else what it says of itself."""
    if payload.spooled_body is not None:
        return payload.spooled_body.digest, payload.spooled_body.size
    if payload.body is None or (payload.body_digest and payload.body_size is not None):
        return payload.body_digest, payload.body_size
    return payload.body_digest or digest(payload.body), len(payload.body)


def _check_storable(row: Payload) -> None:
    """Refuse a row that would fail its segment, and its neighbours with it, at sealing."""
    if row.fetched_at.tzinfo is None:
        raise PayloadInvalid(f"Fetch {row.fetch_id}: fetched_at has no time zone.")
    if row.status is not None and not 0 <= row.status < 1000:
        raise PayloadInvalid(f"Fetch {row.fetch_id}: {row.status} is no HTTP status.")
    for name, limit in _INTEGERS:
        if not -limit < (getattr(row, name) or 0) < limit:
            raise PayloadInvalid(f"Fetch {row.fetch_id}: {name} is out of range.")
    for spool in (row.spooled_body, row.spooled_encoded):
        if spool and spool.size > LARGEST_BODY:
            raise PayloadInvalid(
                f"Fetch {row.fetch_id}: a body of {spool.size:,} bytes is more than a segment can "
                f"hold ({LARGEST_BODY:,}). Lower the feed's max_body."
            )
    try:
        text = "".join(chain(filter(None, _strings(row)), *row.headers, *row.request_headers))
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise PayloadInvalid(
            f"Fetch {row.fetch_id} of {row.feed} holds text that UTF-8 cannot write: {error}."
        ) from None


_INTEGERS = (("sequence", 1 << 63), ("attempt", 1 << 31), ("elapsed_ms", 1 << 63))
_strings = attrgetter(
    *(field.name for field in SCHEMA if pa.types.is_string(field.type) and field.name not in IDS)
)
