"""What a fetch says about its request: a version, that it is gone, or nothing.

A version starts where, in the order of `(fetched_at, sequence, fetch_id)` per
request, the digest differs from the previous judged fetch's or follows a "gone". Digests
decide, never where a body happens to be stored.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from .payload import Payload

Judgement = Literal["version", "gone"]


def judge(
    *, status: int | None, error: str | None, truncated: str | None, body_digest: str | None
) -> Judgement | None:
    """What a fetch says: "version", "gone", or None where it changes nothing.

    An import that recorded no status is taken as a success.
    """
    if status in (404, 410):
        return "gone"
    if error is not None or truncated is not None or body_digest is None:
        return None
    if status is None or 200 <= status < 300 or status == 304:
        return "version"
    return None


def judge_payload(payload: Payload) -> Judgement | None:
    """`judge` for a payload."""
    return judge(
        status=payload.status,
        error=payload.error,
        truncated=payload.truncated,
        body_digest=payload.body_digest,
    )


class Latest(NamedTuple):
    """The newest version of one request as its newest fetch confirmed it.

    It depends on that one fetch's row alone, so the order in which rows arrive makes no difference.
    """

    feed: str
    request_key: str
    url: str
    fetch_id: UUID
    """The fetch that confirmed it last."""
    payload_id: UUID
    """The fetch that holds the body."""
    body_digest: str
    etag: str | None
    last_modified: str | None
    fetched_at: datetime
    sequence: int

    @property
    def order(self) -> tuple[datetime, int, UUID]:
        return (self.fetched_at, self.sequence, self.fetch_id)


def latest_of(payload: Payload) -> Latest | None:
    """What an archived payload says is its request's latest version, if anything.

    A 304 need not repeat the validators it confirms; then they are those of its request.
    """
    if judge_payload(payload) != "version" or not payload.payload_id or not payload.body_digest:
        return None
    etag, last_modified = _validators(payload)
    if payload.status == 304 and etag is None and last_modified is None:
        etag = request_header(payload, "if-none-match")
        last_modified = request_header(payload, "if-modified-since")
    return Latest(
        feed=payload.feed,
        request_key=payload.request_key,
        url=payload.url.replace("\0", "%00"),
        fetch_id=payload.fetch_id,
        payload_id=payload.payload_id,
        body_digest=payload.body_digest,
        etag=_validator(etag),
        last_modified=_validator(last_modified),
        fetched_at=payload.fetched_at,
        sequence=payload.sequence,
    )


def _validators(payload: Payload) -> tuple[str | None, str | None]:
    """Its first ETag and its first Last-Modified."""
    found: dict[str, str] = {}
    for name, value in payload.headers:
        # Most names are of another length; it is cheaper to ask for.
        if len(name) in (4, 13):
            found.setdefault(name.lower(), value)
    return found.get("etag"), found.get("last-modified")


def _validator(value: str | None) -> str | None:
    """A validator as the index keeps it: one with a NUL cannot be sent again, nor be indexed."""
    return None if value is None or "\0" in value else value


def newest(payloads: Iterable[Payload], into: dict[str, Latest] | None = None) -> dict[str, Latest]:
    """The latest version of each request among these payloads (and those already in `into`)."""
    found = {} if into is None else into
    for payload in payloads:
        latest = latest_of(payload)
        if latest is None:
            continue
        known = found.get(latest.request_key)
        if known is None or known.order < latest.order:
            found[latest.request_key] = latest
    return found


def request_header(payload: Payload, name: str) -> str | None:
    """The first request header of that name, whatever its case."""
    return next((value for key, value in payload.request_headers if key.lower() == name), None)
