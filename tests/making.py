"""Making payloads and histories for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from raw_store.ids import derived_id
from raw_store.payload import Payload, digest, request_key

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """A moment that many minutes after the tests' beginning of time."""
    return START + timedelta(minutes=minutes)


def run_id(number: int) -> UUID:
    """The id of the run with this number, the same in every test."""
    return derived_id(START, f"run {number}")


def make_payload(
    feed: str,
    body: object = None,
    *,
    minute: float = 0,
    url: str = "http://library.example/",
    status: int | None = 200,
    run: int = 0,
    sequence: int = 0,
    **more: object,
) -> Payload:
    """A payload of `feed`; a body that is not bytes is written as JSON. Same arguments, same id."""
    raw = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    moment = at(minute)
    fetch_id = derived_id(moment, feed, url, str(run), str(sequence))
    fields: dict[str, object] = {
        "fetch_id": fetch_id,
        "run_id": run_id(run),
        "sequence": sequence,
        "feed": feed,
        "url": url,
        "request_key": request_key("GET", url),
        "status": status,
        "fetched_at": moment,
        "content_type": "application/json",
        "body": raw,
        "body_digest": None if raw is None else digest(raw),
        "body_size": None if raw is None else len(raw),
        "payload_id": None if raw is None else fetch_id,
    }
    return Payload(**(fields | more))  # type: ignore[arg-type]
