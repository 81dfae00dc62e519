"""Lineage: the payload that a row comes from, without its body.

Bodies are for downloading (`bodyUrl`); nothing a source sent is shown as part of an
answer or rendered as a page of this site. A rollup's row comes from a build.
"""

import datetime as dt
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import strawberry
from django.db import models
from django.urls import reverse

from raw_store.archive import Archive
from raw_store.payload import Payload as ArchivedPayload
from reshape.makers import makers_of
from warehouse.models import RollupTable

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
    transform: str | None = strawberry.field(
        description="The transform that made the row of it, as NAME@FINGERPRINT of its code."
    )


@strawberry.type(description="The computation that a rollup's rows come from.")
class RollupBuild:
    built_at: dt.datetime | None = strawberry.field(
        description="When the rows were computed; null where they were never loaded."
    )
    inputs: list[str] = strawberry.field(description="The tables that the rollup reads.")
    refresh: str = strawberry.field(description="When it is computed again.")


def resolve_build(root: Any) -> Awaitable[RollupBuild]:
    """What the rows of a rollup were computed of, and when; read once for all of them."""
    return current().load(RollupBuild, type(root), lambda: read_builds)


def read_builds(rollups: list[type[models.Model]]) -> list[RollupBuild]:
    """The computation behind each of these rollups' rows."""
    tables = [model._meta.db_table for model in rollups]
    known = RollupTable.objects.filter(table__in=tables).values_list("table", "computed_at")
    computed_at = dict(known)
    return [
        RollupBuild(
            built_at=computed_at.get(model._meta.db_table),
            inputs=list(model.rollup.inputs),  # type: ignore[attr-defined]
            refresh=str(model.rollup.refresh),  # type: ignore[attr-defined]
        )
        for model in rollups
    ]


def resolve_payload(root: Any) -> Awaitable[Payload | None]:
    """The payload of a row; the payloads of one level are read from the archive together."""
    model = type(root)
    return current().load(
        (Payload, model),
        getattr(root, LINEAGE_COLUMN),
        lambda: lambda fetch_ids: read_payloads(model, fetch_ids),
    )


def read_payloads(model: type[models.Model], fetch_ids: list[UUID]) -> list[Payload | None]:
    """The payloads of these fetches, from which rows of a model come.

    Null for each that the archive does not hold.
    """
    found = Archive().read_many(fetch_ids, bodies=False)
    makers = makers_of(model, {fetch_id: each.feed for fetch_id, each in found.items()})
    return [
        _shown(found[fetch_id], makers.get(fetch_id)) if fetch_id in found else None
        for fetch_id in fetch_ids
    ]


def _shown(payload: ArchivedPayload, transform: str | None) -> Payload:
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
        transform=transform,
    )
