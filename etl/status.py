"""Where each source stands: what is archived, parsed and loaded, and what a replay would do."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max, Sum

from raw_store import feeds
from raw_store.models import Segment
from reshape.fingerprint import fingerprint
from reshape.models import HeldRow, QuarantineEntry, SourceState
from reshape.parse import label_of
from reshape.records import parsed_segments
from reshape.registry import Transform, transforms_of
from warehouse.models import FailedAssert

from .policy import Policy, changed_transforms, policy_of


@dataclass(frozen=True, kw_only=True)
class FeedStatus:
    """What is archived of a feed."""

    name: str
    payload_count: int
    last_fetched_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TransformStatus:
    """How much of its feed a transform, as its code is now, has parsed."""

    name: str
    feed: str
    fingerprint: str
    loaded_fingerprint: str | None
    """Of the code that the live rows were made with; null: none yet."""
    is_changed: bool
    """Whether the live rows were made with other code, or without this transform."""
    payload_count: int
    parsed_count: int


@dataclass(frozen=True, kw_only=True)
class AssertStatus:
    """What a rollup asserts and does not hold, so that the last replay was not loaded."""

    rollup: str
    assertion: str
    samples: list[str]
    failed_at: datetime


@dataclass(frozen=True, kw_only=True)
class SourceStatus:
    """Where a source stands."""

    name: str
    on_change: Policy
    feeds: list[FeedStatus] = field(default_factory=list)
    transforms: list[TransformStatus] = field(default_factory=list)
    changed_transforms: list[str] = field(default_factory=list)
    """Those that are new, changed or gone since the last replay."""
    quarantined_count: int = 0
    """Payloads and rows in quarantine."""
    rejected_count: int = 0
    """The rows among them."""
    held_count: int = 0
    data_version: int | None = None
    """Null: never replayed."""
    replayed_at: datetime | None = None
    limit_exceeded: str = ""
    """Why the last replay loaded nothing but the quarantine; empty if it did not."""
    failed_assert: AssertStatus | None = None


def source_status(source: str) -> SourceStatus:
    """Where a source stands. Raises `UnknownFeed`."""
    state = SourceState.objects.filter(source=source).first()
    loaded = state.fingerprints if state else {}
    changed = changed_transforms(source)
    entries = QuarantineEntry.objects.filter(source=source)
    return SourceStatus(
        name=source,
        changed_transforms=changed,
        on_change=policy_of(source),
        feeds=[_feed_status(feed.name) for feed in feeds.feeds_of(source)],
        transforms=[
            _transform_status(
                transform, loaded.get(transform.name), is_changed=transform.name in changed
            )
            for transform in transforms_of(source)
        ],
        quarantined_count=entries.count(),
        rejected_count=entries.filter(ordinal__gte=0).count(),
        held_count=HeldRow.objects.filter(source=source).count(),
        data_version=state.data_version if state else None,
        replayed_at=state.replayed_at if state else None,
        limit_exceeded=state.limit_exceeded if state else "",
        failed_assert=_failed_assert(source),
    )


def _failed_assert(source: str) -> AssertStatus | None:
    # One that stopped `build_rollups` concerns every source.
    found = FailedAssert.objects.filter(source__in=(source, "")).order_by("-failed_at").first()
    if found is None:
        return None
    return AssertStatus(
        rollup=found.rollup,
        assertion=found.assertion,
        samples=found.samples,
        failed_at=found.failed_at,
    )


def _feed_status(name: str) -> FeedStatus:
    found = Segment.objects.filter(feed=name).aggregate(
        rows=Sum("row_count"), last=Max("last_fetched_at")
    )
    return FeedStatus(name=name, payload_count=found["rows"] or 0, last_fetched_at=found["last"])


def _transform_status(
    transform: Transform, loaded: str | None, *, is_changed: bool
) -> TransformStatus:
    parsed = parsed_segments(label_of(transform))
    sizes = dict(Segment.objects.filter(feed=transform.feed).values_list("name", "row_count"))
    return TransformStatus(
        name=transform.name,
        feed=transform.feed,
        fingerprint=fingerprint(transform),
        loaded_fingerprint=loaded,
        is_changed=is_changed,
        payload_count=sum(sizes.values()),
        parsed_count=sum(count for name, count in sizes.items() if name in parsed or not count),
    )
