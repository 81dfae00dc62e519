"""The archive's index in the database: acknowledged segments, latest versions."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from django.db import DatabaseError, connection, transaction

from .errors import SealFailed
from .models import LatestVersion, Segment
from .segments import SegmentInfo
from .versions import Latest

InTransaction = Callable[[], None]

_BATCH = 500


def commit(
    info: SegmentInfo, latest: dict[str, Latest], in_transaction: Iterable[InTransaction] = ()
) -> Segment:
    """Acknowledge a durable segment: its index row, its versions and the given work, all or none.

    Raises `SealFailed` when the database refuses; the segment's file stays for `archive gc`.
    """
    try:
        with transaction.atomic(durable=True):
            segment = record(info)
            remember(latest.values())
            for work in in_transaction:
                work()
    except DatabaseError as error:
        raise SealFailed(
            f"Segment {info.path} is written but the index refused it: {error}. Its payloads are "
            "not acknowledged. When the database works again, `manage.py archive gc` adopts it."
        ) from error
    return segment


def run(work: Iterable[InTransaction]) -> None:
    """Do the given work in one transaction: there was nothing to seal with it."""
    with transaction.atomic(durable=True):
        for each in work:
            each()


def record(info: SegmentInfo) -> Segment:
    """Write a segment's index row; writing it again changes nothing."""
    values = {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}
    segment, _ = Segment.objects.update_or_create(name=values.pop("name"), defaults=values)
    return segment


def remember(found: Iterable[Latest]) -> None:
    """Make each the latest version of its request, unless a newer fetch is known."""
    every = sorted(found, key=lambda latest: (latest.feed, latest.request_key))
    for start in range(0, len(every), _BATCH):
        batch = every[start : start + _BATCH]
        known = {
            (row.feed, row.request_key): (row.fetched_at, row.sequence, row.fetch_id)
            for row in _locked(batch)
        }
        newer = [
            latest
            for latest in batch
            if (order := known.get((latest.feed, latest.request_key))) is None
            or order < latest.order
        ]
        LatestVersion.objects.bulk_create(
            [LatestVersion(**_values(latest)) for latest in newer],
            update_conflicts=True,
            unique_fields=["feed", "request_key"],
            update_fields=_UPDATED,
        )


_UPDATED = [
    field.name for field in dataclasses.fields(Latest) if field.name not in ("feed", "request_key")
]


def _values(latest: Latest) -> dict[str, Any]:
    return {field.name: getattr(latest, field.name) for field in dataclasses.fields(latest)}


def _locked(batch: list[Latest]) -> Iterable[LatestVersion]:
    rows = LatestVersion.objects.filter(
        feed__in={latest.feed for latest in batch},
        request_key__in=[latest.request_key for latest in batch],
    )
    return rows.select_for_update() if connection.features.has_select_for_update else rows
