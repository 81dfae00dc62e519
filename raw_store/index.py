"""The archive's index in the database: acknowledged segments, their requests, latest versions."""

import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain

from django.db import DatabaseError, connection, transaction

from .errors import SealFailed
from .models import LatestVersion, Segment, SegmentKeys
from .segments import SegmentInfo
from .versions import Latest

InTransaction = Callable[[], None]

INDEXED = [field.name for field in dataclasses.fields(SegmentInfo) if field.name != "replaces"]
"""What the index holds of a segment's footer."""

PREFIX = 8
"""Bytes of a request key that the index keeps for each row of a segment that is not clustered."""


def commit(
    info: SegmentInfo,
    latest: dict[str, Latest],
    in_transaction: Iterable[InTransaction] = (),
    *,
    prefixes: bytes = b"",
) -> Segment:
    """Acknowledge a durable segment: its index row, its versions and the given work, all or none.

    `prefixes` are those of its rows' request keys, in their order, unless it is clustered.
    Raises `SealFailed` when the database refuses; the segment's file stays for `archive gc`.
    """
    try:
        with transaction.atomic(durable=True):
            segment = record(info, prefixes)
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


def record(info: SegmentInfo, prefixes: bytes = b"") -> Segment:
    """Write a segment's index row and its request keys; writing it again changes nothing.

    A segment that has none and is not clustered is read in every look-up: none misses anything.
    """
    values = {name: getattr(info, name) for name in INDEXED}
    segment, _ = Segment.objects.update_or_create(name=values.pop("name"), defaults=values)
    if prefixes:
        SegmentKeys.objects.update_or_create(segment=segment, defaults={"prefixes": prefixes})
    return segment


def key_prefixes(keys: Iterable[str]) -> bytes:
    """The prefixes of request keys, one after another."""
    return b"".join(map(key_prefix, keys))


def key_prefix(request_key: str) -> bytes:
    """The first bytes of a request key. One that is no digest has a prefix, too."""
    try:
        return bytes.fromhex(request_key[: 2 * PREFIX]).ljust(PREFIX, b"\0")
    except ValueError:
        return request_key.encode()[:PREFIX].ljust(PREFIX, b"\0")


def remember(found: Iterable[Latest]) -> None:
    """Make each the latest version of its request, unless a newer fetch is known."""
    # In one order, so that two processes do not wait for each other.
    every = sorted(found, key=lambda latest: (latest.feed, latest.request_key))
    # By hand: Django's fields would look the connection up anew for each cell.
    has_ids = connection.features.has_native_uuid_field
    as_time = _as_text if connection.vendor == "sqlite" else _as_it_is
    rows = [
        (
            latest.feed,
            latest.request_key,
            latest.url,
            latest.fetch_id if has_ids else latest.fetch_id.hex,
            latest.payload_id if has_ids else latest.payload_id.hex,
            latest.body_digest,
            latest.etag,
            latest.last_modified,
            as_time(latest.fetched_at),
            latest.sequence,
        )
        for latest in every
    ]
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.executemany(_REMEMBER % _CELLS, rows)
            return
        # SQLite gives the interpreter away and takes it back for each statement. With one for each
        # row, that would slow whatever else the process does.
        for at in range(0, len(rows), _AT_ONCE):
            some = rows[at : at + _AT_ONCE]
            cursor.execute(_REMEMBER % ", ".join([_CELLS] * len(some)), list(chain(*some)))


def _as_text(moment: datetime) -> str:
    """A moment as Django keeps it in SQLite, without looking the connection up for each."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def _as_it_is(moment: datetime) -> datetime:
    return moment


_AT_ONCE = 200
_CELLS = f"({', '.join(['%s'] * len(Latest._fields))})"
_REMEMBER = f"""
    INSERT INTO {LatestVersion._meta.db_table} AS known ({", ".join(Latest._fields)})
    VALUES %s
    ON CONFLICT (feed, request_key) DO UPDATE SET {
    ", ".join(f"{name} = excluded.{name}" for name in Latest._fields[2:])
}
    WHERE (known.fetched_at, known.sequence, known.fetch_id)
        < (excluded.fetched_at, excluded.sequence, excluded.fetch_id)
"""
