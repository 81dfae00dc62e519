"""Simulated days: move the farm's clock, extract, replay, and tell what happened and why.

Where the story stands is read from the archive: the address and the day of the newest
fetch. A second demo therefore goes on where the first one ended, even after the
database was deleted and the archive indexed again.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from ingest.models import Outcome, Run
from ingest.pace import Patience
from ingest.runs import run_feed
from raw_store import feeds
from raw_store.archive import Archive
from reshape.difference import Difference
from reshape.models import HeldRow, QuarantineEntry, derived_models
from sources.farm.origin import Origin
from sources.farm.origin.news import news
from sources.farm.origin.server import DAY_HEADER
from sources.farm.origin.world import has_outage, smudged_item
from warehouse.rollups import rollups

from ..walk import refresh

SOURCE = "farm"
# A storm lasts all day: waiting longer between attempts would only slow the story.
PATIENCE = Patience(attempts=3, base=0.1)


class DemoFailed(Exception):
    """Something went wrong that was not planned."""


NO_BREAK = "\N{NO-BREAK SPACE}"

Fetch = Mapping[str, Any]
"""One row of `Archive.captures`."""
Tell = Callable[[str, str], None]
"""Takes a label and what is told under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far the archive says the story is."""

    port: int
    """Where the site was; 0, any free one, while nothing is archived."""
    next_day: int


def reached(archive: Archive) -> Reached:
    """Where an earlier demo of this archive ended."""
    answered = [
        fetch
        for feed in feeds.feeds_of(SOURCE)
        for fetch in archive.captures(feed.name).to_pylist()
        if fetch["status"] is not None
    ]
    if not answered:
        return Reached(port=0, next_day=0)
    newest = max(answered, key=lambda fetch: (fetch["fetched_at"], fetch["fetch_id"]))
    payload = archive.read(UUID(newest["fetch_id"]))
    day = payload.header(DAY_HEADER)
    return Reached(
        port=urlsplit(payload.url).port or 80, next_day=0 if day is None else int(day) + 1
    )


def pass_day(origin: Origin, day: int, archive: Archive, tell: Tell) -> None:
    """Let `day` come, take the whole walk over it, and tell it."""
    origin.day = day
    os.environ["FARM_ORIGIN_URL"] = origin.url
    held_before = _held()

    runs = asyncio.run(_extract(archive))
    refreshed = refresh(SOURCE, archive=archive)

    fetches = _fetches(archive, runs)
    kinds = Counter(map(_kind, fetches))
    unreadable = _unreadable(fetches)
    differences = refreshed.loaded.differences
    tell("In Dapplefen", " ".join(news(day)))
    tell("Archived", _archived(kinds))
    tables = {model._meta.db_table: model.__name__ for model in derived_models(SOURCE)}
    tell("Rows", _changes(differences, tables))
    tell("Rollups", _changes(differences, {made.name: made.name for made in rollups(SOURCE)}))
    for note in _notes(day, kinds, runs, unreadable, _held() - held_before):
        tell("Note", note)
    _check(day, runs, unreadable)


async def _extract(archive: Archive) -> list[Run]:
    names = [feed.name for feed in feeds.feeds_of(SOURCE)]
    return [await run_feed(name, archive, patience=PATIENCE) for name in names]


def _held() -> int:
    return HeldRow.objects.filter(source=SOURCE).count()


def _fetches(archive: Archive, runs: list[Run]) -> list[Fetch]:
    """What the archive keeps of the runs' fetches, without their bodies."""
    ids = {str(run.pk) for run in runs}
    return [
        fetch
        for run in runs
        for fetch in archive.captures(run.feed).to_pylist()
        if fetch["run_id"] in ids
    ]


def _unreadable(fetches: list[Fetch]) -> list[str]:
    """Why some of these fetches are in quarantine."""
    ids = [fetch["fetch_id"] for fetch in fetches]
    entries = QuarantineEntry.objects.filter(fetch_id__in=ids)
    return list(entries.values_list("message", flat=True))


def _kind(fetch: Fetch) -> str:
    """What a fetch brought: a new body, the confirmation of an old one, and so on."""
    status = fetch["status"]
    if status in (404, 410):
        return "gone (404)"
    if status not in (200, 304):
        return "failed (500)"
    return "new" if fetch["has_body"] else "unchanged"


def _archived(kinds: Counter[str]) -> str:
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), reverse=True))
    return f"{kinds.total()} responses: {told}"


def _changes(differences: Mapping[str, Difference], names: Mapping[str, str]) -> str:
    """What a load changed in some tables: `Item +1 ~2 -1`."""
    told = [
        NO_BREAK.join([name, *_signed(differences[table])])
        for table, name in names.items()
        if table in differences and differences[table].total
    ]
    return ", ".join(told) or "nothing changed"


def _signed(difference: Difference) -> Iterator[str]:
    for sign, count in (
        ("+", difference.added),
        ("~", difference.changed),
        ("-", difference.removed),
    ):
        if count:
            yield f"{sign}{count}"


def _check(day: int, runs: list[Run], unreadable: list[str]) -> None:
    """Raise `DemoFailed` for a failure that the story did not plan."""
    failed = [run for run in runs if run.outcome != Outcome.COMPLETE]
    if failed and not has_outage(day):
        raise DemoFailed(f"The run of {failed[0].feed} failed: {failed[0].error}")
    if unreadable and not smudged_item(day):
        raise DemoFailed(f"A page could not be read: {unreadable[0]}")


def _notes(
    day: int,
    kinds: Counter[str],
    runs: list[Run],
    unreadable: list[str],
    newly_held: int,
) -> Iterator[str]:
    if day == 0:
        yield (
            "Rows are counted as + added, ~ changed, - removed; a page that only repeats what is "
            "known changes none. Rows and rollups change in one transaction."
        )
    if day == 1:
        yield (
            f"{kinds['unchanged']} pages had not changed: each is a row of the archive that names "
            "the earlier one, so no body is kept twice."
        )
    if failed := [run.feed for run in runs if run.outcome != Outcome.COMPLETE]:
        yield (
            f"The runs of {' and '.join(failed)} failed after {PATIENCE.attempts} attempts. "
            "Every answer is archived, the errors too, and a failed run takes nothing away: "
            "those rows stay as they were last seen."
        )
    for message in unreadable:
        yield (
            f"One page is in quarantine. {message} The page is archived, its item keeps what the "
            "last readable version said, and its neighbours load."
        )
    if newly_held > 0:
        yield (
            f"{_rows(newly_held)} held: an item they name has no page any more, or none that was "
            "seen. Held rows are counted, and loaded as soon as the item is there."
        )
    if newly_held < 0:
        yield f"{_rows(-newly_held)} held no longer: the item they name is there."


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"
