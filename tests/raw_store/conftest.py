"""A fresh archive for each test, and payloads to put in it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from raw_store.archive import Archive
from raw_store.ids import derived_id
from raw_store.payload import Payload, request_key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEED = "quakes.day"
URL = "https://example.org/day.json"


def make_payload(
    body: bytes | None = b"{}",
    *,
    minute: float = 0,
    sequence: int = 0,
    url: str = URL,
    run: str | None = None,
    status: int | None = 200,
    feed: str = FEED,
    **values,
) -> Payload:
    """A payload fetched some minutes after noon, in a run of its own unless `run` names one."""
    at = NOON + timedelta(minutes=minute)
    return Payload(
        fetch_id=derived_id(at, url, str(sequence), str(minute), run or ""),
        run_id=run_id(run or str(minute)),
        sequence=sequence,
        feed=feed,
        url=url,
        request_key=request_key("GET", url),
        status=status,
        fetched_at=at,
        body=body,
        **values,
    )


def run_id(name: str) -> UUID:
    return derived_id(NOON, name)


@pytest.fixture
def archive(tmp_path, db) -> Archive:
    return Archive(str(tmp_path / "archive"))
