"""Lineage: the payload that a row comes from, without its body.

Bodies are for downloading (`bodyUrl`); nothing a source sent is shown as part of an
answer or rendered as a page of this site.
"""

import datetime as dt
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import strawberry
from django.urls import reverse

from raw_store.archive import Archive
from raw_store.payload import Payload as ArchivedPayload

from .catalog import LINEAGE_COLUMN
from .operation import current
from .scalars import BigInt


@strawberry.type(description="One header of a response, with its case.")
class Header:
    name: str
    value: str


@strawberry.type(description="A response as it was received: where a row comes from.")
class Payload:
    fetch_id: UUID = strawberry.field(description="The fetch's id in the archive.")
    url: str
    method: str
    fetched_at: dt.datetime
    status: int | None = strawberry.field(
        description="The HTTP status; null where an import did not record it."
    )
    reason: str | None
    headers: list[Header] = strawberry.field(description="The response's headers, in order.")
    digest: str | None = strawberry.field(description="SHA-256 of the body, in hex.")
    body_size: BigInt | None = strawberry.field(description="Bytes of the body.")
    content_type: str | None
    body_url: str | None = strawberry.field(description="Where to download the body.")
    source: str
    feed: str
    run_id: UUID = strawberry.field(description="The run that fetched it.")


def resolve_payload(root: Any) -> Awaitable[Payload | None]:
    """The payload of a row; the payloads of one level are read from the archive together."""
    return current().load(Payload, getattr(root, LINEAGE_COLUMN), lambda: read_payloads)


def read_payloads(fetch_ids: list[UUID]) -> list[Payload | None]:
    """The payloads of these fetches, null for each that the archive does not hold."""
    found = Archive().read_many(fetch_ids, bodies=False)
    return [_shown(found[fetch_id]) if fetch_id in found else None for fetch_id in fetch_ids]


def _shown(payload: ArchivedPayload) -> Payload:
    has_body = payload.payload_id is not None
    return Payload(
        fetch_id=payload.fetch_id,
        url=payload.url,
        method=payload.method,
        fetched_at=payload.fetched_at,
        status=payload.status,
        reason=payload.reason,
        headers=[Header(name=name, value=value) for name, value in payload.headers],
        digest=payload.body_digest,
        body_size=None if payload.body_size is None else BigInt(payload.body_size),
        content_type=payload.content_type,
        body_url=reverse("payload-body", args=[payload.fetch_id]) if has_body else None,
        source=payload.source,
        feed=payload.feed,
        run_id=payload.run_id,
    )
