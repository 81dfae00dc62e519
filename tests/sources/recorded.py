"""Recorded bodies as payloads, so that a transform is tested on what a publisher really sent."""

from datetime import UTC, datetime
from pathlib import Path

from raw_store.ids import derived_id
from raw_store.payload import Payload, digest, request_key

FETCHED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def recorded(feed, body, *, url, method="GET", fetched_at=FETCHED_AT):
    """The payload that fetching `url` would have archived; `body` is bytes or a file of them."""
    body = body.read_bytes() if isinstance(body, Path) else body
    return Payload(
        fetch_id=derived_id(fetched_at, url, body),
        run_id=derived_id(fetched_at, feed),
        sequence=0,
        feed=feed,
        method=method,
        url=url,
        request_key=request_key(method, url),
        status=200,
        fetched_at=fetched_at,
        body=body,
        body_digest=digest(body),
        body_size=len(body),
    )


def rows_of(model, rows):
    """The values that the rows of one model give."""
    return [row.values for row in rows if row.model is model]
