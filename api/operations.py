"""What the program tells of itself: feeds with their schedule, runs, quarantine, held rows."""

import datetime as dt

import strawberry
from asgiref.sync import sync_to_async
from strawberry import UNSET
from strawberry.types.field import StrawberryField

from ingest import registry as extractors
from ingest.models import BackfillPartition, FeedStatus, Run, Watermark
from ingest.receiving.receivers import all_receivers
from raw_store import feeds as declared
from reshape.models import HeldRow, QuarantineEntry, SourceState

from .catalog import Model, Relation
from .names import Names
from .pages import Pagination, bounds
from .types import TypeMaker

# The program's own models, with names that no source's model takes.
OWN_MODELS: dict[Model, Names] = {
    Run: Names(type="Run", many="runs", one="run"),
    Watermark: Names(type="Watermark", many="watermarks", one="watermark"),
    BackfillPartition: Names(
        type="BackfillPartition", many="backfillPartitions", one="backfillPartition"
    ),
    QuarantineEntry: Names(type="QuarantineEntry", many="quarantineEntries", one="quarantineEntry"),
    HeldRow: Names(type="HeldRow", many="heldRows", one="heldRow"),
    SourceState: Names(type="SourceState", many="sourceStates", one="sourceState"),
}
# What says more of the machine than a reader of the data needs to know.
HIDDEN_COLUMNS: dict[Model, frozenset[str]] = {Run: frozenset({"traceback", "machine", "pid"})}
FEED_NAMES = frozenset({"Feed", "feed", "feeds", "feedsCount"})


@strawberry.type(description="One kind of thing a source publishes.")
class Feed:
    name: str = strawberry.field(description="Written `source.feed`.")
    source: str
    current: str = strawberry.field(
        description="Which versions count for its state: latest, run or all."
    )
    schedule: str = strawberry.field(description="When it is extracted, in words.")
    next_run_at: dt.datetime | None = strawberry.field(
        description="Null when it runs by hand only, or the scheduler has not seen it yet."
    )
    paused_at: dt.datetime | None = strawberry.field(
        description="Since when an operator keeps it from running on its schedule."
    )
    last_complete_at: dt.datetime | None
    consecutive_failures: int
    last_error: str = strawberry.field(description="Empty after a complete run.")
    last_run_id: strawberry.Private[object]


_RELATIONS = [
    Relation(
        name="lastRun",
        target=Run,
        is_list=False,
        is_nullable=True,
        own="last_run_id",
        back="id",
        lookup="",
        description=None,
    ),
    Relation(
        name="runs",
        target=Run,
        is_list=True,
        is_nullable=False,
        own="name",
        back="feed",
        lookup="",
        description=None,
    ),
    Relation(
        name="watermarks",
        target=Watermark,
        is_list=True,
        is_nullable=False,
        own="name",
        back="feed",
        lookup="",
        description="How far it, or each part of it, has been fetched.",
    ),
]


def complete_feed(maker: TypeMaker) -> None:
    """Give `Feed` its links to runs and watermarks, which need the generated types."""
    fields: list[StrawberryField] = Feed.__strawberry_definition__.fields  # type: ignore[attr-defined]
    links = [made for relation in _RELATIONS for made in maker.relation(relation)]
    names = {link.python_name for link in links}
    fields[:] = [field for field in fields if field.python_name not in names] + links


async def _feeds(source: str | None = UNSET, pagination: Pagination | None = UNSET) -> list[Feed]:
    offset, limit = bounds(pagination)
    return await _shown(_of(source)[offset : offset + limit])


def _feeds_count(source: str | None = UNSET) -> int:
    return len(_of(source))


async def _feed(name: str) -> Feed | None:
    found = await _shown([feed for feed in declared.all_feeds() if feed.name == name])
    return found[0] if found else None


@strawberry.type
class OperationsQuery:
    """The root fields of this module."""

    feeds: list[Feed] = strawberry.field(
        resolver=_feeds, description="The feeds that the sources declare, by name."
    )
    feeds_count: int = strawberry.field(
        resolver=_feeds_count, description="How many feeds there are."
    )
    feed: Feed | None = strawberry.field(
        resolver=_feed, description="The feed with this name, written `source.feed`."
    )


def _of(source: str | None) -> list[declared.Feed]:
    return [feed for feed in declared.all_feeds() if not source or feed.source == source]


async def _shown(feeds: list[declared.Feed]) -> list[Feed]:
    statuses: dict[str, FeedStatus] = await sync_to_async(FeedStatus.objects.in_bulk)(
        [feed.name for feed in feeds]
    )
    schedules = {each.name: each.schedule for each in extractors.all_extractors()}
    schedules |= {each.name: "pushed" for each in all_receivers()}
    return [
        _one(feed, schedules.get(feed.name, "by hand"), statuses.get(feed.name)) for feed in feeds
    ]


def _one(feed: declared.Feed, schedule: str, status: FeedStatus | None) -> Feed:
    known = status or FeedStatus(feed=feed.name)
    return Feed(
        name=feed.name,
        source=feed.source,
        current=feed.current,
        schedule=schedule,
        next_run_at=known.next_run_at,
        paused_at=known.paused_at,
        last_complete_at=known.last_complete_at,
        consecutive_failures=known.consecutive_failures,
        last_error=known.last_error,
        last_run_id=known.last_run_id,
    )
