"""The moment that a question means: the last fetch up to it, and what was archived by then.

Between two fetches nothing changes, so that all moments between them share one vintage.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import duckdb
from django.db.models import Count, Max, Min, Sum

from raw_store.archive import Archive
from raw_store.models import Segment
from reshape.columns import columns_of
from reshape.fingerprint import fingerprint
from reshape.models import derived_models
from reshape.registry import all_transforms
from warehouse.rollups import rollups

from .errors import VintageRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A state of the archive in time."""

    cut: datetime
    """When the last fetch that counts was made."""
    sources: tuple[str, ...]
    """Those of which something was archived by then."""
    key: str
    """Digest of what is archived up to then, and of the code that reads it."""


def moment_of(at: datetime) -> Moment:
    """What `at` means for the archive as it is now. Raises `VintageRefused`."""
    if at > datetime.now(UTC):
        raise VintageRefused(
            f"{at.isoformat()} has not come yet; ask for a moment that is past, or leave @asOf out."
        )
    feeds = sorted({transform.feed for transform in all_transforms()})
    archived = {feed: found for feed in feeds if (found := _archived(feed, at))}
    if not archived:
        first = Segment.objects.filter(feed__in=feeds).aggregate(first=Min("first_fetched_at"))
        known = first["first"]
        raise VintageRefused(
            f"Nothing was archived by {at.isoformat()}; "
            + (f"the first fetch was at {known.isoformat()}." if known else "nothing is yet.")
        )
    return Moment(
        cut=max(last for _, last in archived.values()),
        sources=tuple(sorted({each.source for each in all_transforms() if each.feed in archived})),
        key=_digest(
            [
                sorted((feed, count, last.isoformat()) for feed, (count, last) in archived.items()),
                _code_digest(),
            ]
        ),
    )


def _archived(feed: str, at: datetime) -> tuple[int, datetime] | None:
    """How many fetches of a feed were made up to a moment, and when the last one was."""
    segments = Segment.objects.filter(feed=feed)
    whole = segments.filter(last_fetched_at__lte=at).aggregate(
        count=Sum("row_count"), last=Max("last_fetched_at")
    )
    count, last = whole["count"] or 0, whole["last"]
    if segments.filter(first_fetched_at__lte=at, last_fetched_at__gt=at).exists():
        extent = segments.aggregate(
            rows=Sum("row_count"), files=Count("name"), newest=Max("name"), last=Max("sealed_at")
        )
        count, last = _counted(feed, at, json.dumps(extent, default=str))
    return (count, last) if last else None


@lru_cache(maxsize=1024)
def _counted(feed: str, at: datetime, extent: str) -> tuple[int, datetime | None]:
    """The same, counted in the archive: a segment has fetches before the moment and after it.

    `extent` says how much is archived, so that an answer holds as long as it does.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # A damaged segment gives no rows; the next key, when it is mended, is another one.
        connection.register("captures", Archive().captures(feed, on_damaged=lambda _: None))
        found = connection.execute(
            "SELECT count(*), epoch_us(max(fetched_at)) FROM captures WHERE fetched_at <= $1", [at]
        ).fetchone()
    assert found is not None
    count, microseconds = found
    if microseconds is None:
        return 0, None
    seconds, rest = divmod(microseconds, 1_000_000)
    return count, datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def _code_digest() -> str:
    return _digest(
        [
            sorted((each.name, fingerprint(each)) for each in all_transforms()),
            sorted(
                (model._meta.label, str(columns_of(model).schema)) for model in derived_models()
            ),
            [(rollup.name, rollup.sql) for rollup in rollups()],
            duckdb.__version__,
        ]
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]
