"""Erasing: fetches leave the archive, everything derived from them goes, and a search proves it.

An erasure is noted before anything changes: a row in the database says that one is under way and
for ever that it was, without what was erased; a file in the home folder lists the fetches until
it is done. Every step can be done again, so an erasure that was killed is finished by the next
one, by `gc`, or by `archive erase --resume`:

1. what killed writers left is adopted or removed, so that nothing comes back from it;
2. each segment that holds one of the fetches is written anew without them, and the old file
   deleted at once;
3. what follows the archive follows: record files, rows, columnar copies, rollups, builds;
4. the database file is written anew, so that its free pages hold nothing;
5. the search (`raw_store.proof`).
"""

import hashlib
import hmac
import json
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings
from django.db import connection, transaction

from . import compaction, followers, index, upkeep
from .errors import ArchiveError
from .ids import new_id
from .locks import RECORDS, exclusive
from .models import Erasure, LatestVersion, Segment
from .proof import Markers, Proof, search
from .regrouping import Changes
from .rows import to_payloads
from .segments import iter_tables, read_rows
from .selection import Asked, check, revisits_of, select
from .versions import Latest, newest

logger = logging.getLogger(__name__)

Advance = Callable[[int], None]

AT_ONCE = timedelta(0)
LOCK = "erase"
_BATCH = 500
_EXCERPTS = 16
_EXCERPT_BYTES = 48
_EXCERPT_FROM = 16 * 1024 * 1024
"""Bytes. Of larger bodies no excerpt is taken: they would have to be in memory whole."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is to be erased, as the file in the home folder lists it until it is done."""

    asked: dict[str, Any]
    begun_at: str
    """This time and the following in ISO 8601."""
    first_fetched_at: str
    last_fetched_at: str
    feeds: list[str]
    fetch_ids: list[str]
    requests: list[list[str]]
    """Feed and request key."""
    urls: list[str]
    digests: list[str]
    """Of the bodies that the fetches hold."""
    excerpts: list[str] = field(default_factory=list)
    """Pieces of some of these bodies, as hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did."""

    id: UUID
    fetch_count: int
    proof: Proof


def preview(url: str, asked: Asked) -> pa.Table:
    """The fetches that `erase` would remove now; columns `raw_store.selection.SELECTED`."""
    check(asked)
    return _once(select(url, asked))


def erase(url: str, asked: Asked, *, advance: Advance | None = None) -> Erased | None:
    """Remove the fetches that are meant, whatever is derived from them, and search for the rest.

    None where nothing is meant. `advance` is called with bytes searched. Raises `NotQuiet`
    while something is being fetched for these feeds, `SegmentCorrupt` where a segment cannot be
    read (it may hold what is meant), `SealFailed`; what was begun is finished the next time.
    """
    check(asked)
    with exclusive(LOCK):
        _resume(url, advance)
        with ExitStack() as locks:
            _lock(locks)
            found = _once(select(url, asked))
            followers.ensure_quiet(sorted(set(found["feed"].to_pylist())))
            upkeep.collect(url, grace=AT_ONCE)
            found = _once(select(url, asked))
            if not found.num_rows:
                return None
            plan = _plan(url, asked, found)
            erasure = _begin(plan)
            _rewrite(url, plan)
        return _finish(url, erasure, plan, advance)


def resume(url: str, *, everything: bool = True, advance: Advance | None = None) -> list[Erased]:
    """Finish the erasures that were interrupted; with `everything`, search again for what is left
    of those that left something."""
    with exclusive(LOCK):
        return _resume(url, advance, everything=everything)


def unfinished(*, everything: bool = True) -> list[Erasure]:
    """The erasures that are not done."""
    states = [Erasure.PENDING, Erasure.LEFT] if everything else [Erasure.PENDING]
    return list(Erasure.objects.filter(state__in=states).order_by("begun_at"))


def warn_of_unfinished() -> None:
    """Log the erasures that were interrupted: they want to be finished while nothing is fetched."""
    for erasure in unfinished(everything=False):
        logger.warning(
            "an erasure of %d fetches was interrupted at some time after %s; stop the server and "
            "run `manage.py archive erase --resume`",
            erasure.fetch_count,
            erasure.begun_at.isoformat(),
        )


def _resume(url: str, advance: Advance | None, *, everything: bool = False) -> list[Erased]:
    _find_plans()
    done = []
    for erasure in unfinished(everything=everything):
        plan = _read_plan(erasure)
        followers.ensure_quiet(plan.feeds)
        logger.warning("finishing an erasure that was interrupted id=%s", erasure.id)
        with ExitStack() as locks:
            _lock(locks)
            upkeep.collect(url, grace=AT_ONCE)
            _rewrite(url, plan)
        done.append(_finish(url, erasure, plan, advance))
    return done


def _lock(locks: ExitStack) -> None:
    # What derives something now has listed the old segments, and writes record files of them.
    locks.enter_context(exclusive(compaction.LOCK))
    locks.enter_context(exclusive("load"))
    locks.enter_context(exclusive(RECORDS))


def _once(found: pa.Table) -> pa.Table:
    """Each fetch once, in the order of time."""
    at = pa.array(range(found.num_rows), pa.int64())
    first = found.append_column("at", at).group_by("fetch_id").aggregate([("at", "min")])["at_min"]
    return found.take(first).sort_by([("feed", "ascending"), ("fetched_at", "ascending")])


def _plan(url: str, asked: Asked, found: pa.Table) -> Plan:
    holders = found.filter(pc.equal(found["payload_id"], found["fetch_id"]))
    requests = found.group_by(["feed", "request_key"]).aggregate([])
    return Plan(
        asked=asdict(asked),
        begun_at=datetime.now(UTC).isoformat(),
        first_fetched_at=pc.min(found["fetched_at"]).as_py().isoformat(),
        last_fetched_at=pc.max(found["fetched_at"]).as_py().isoformat(),
        feeds=sorted(set(found["feed"].to_pylist())),
        fetch_ids=found["fetch_id"].to_pylist(),
        requests=[
            [feed, key]
            for feed, key in zip(
                requests["feed"].to_pylist(), requests["request_key"].to_pylist(), strict=True
            )
        ],
        urls=sorted(set(found["url"].to_pylist())),
        digests=sorted(
            set(holders["body_digest"].drop_null().to_pylist())
            | set(found["encoded_digest"].drop_null().to_pylist())
        ),
        excerpts=_excerpts(url, holders),
    )


def _excerpts(url: str, holders: pa.Table) -> list[str]:
    """The middle of some of the bodies, spread evenly over all of them."""
    fits = pc.and_(
        pc.greater_equal(holders["body_size"], _EXCERPT_BYTES),
        pc.less(holders["body_size"], _EXCERPT_FROM),
    )
    some = holders.filter(fits)
    step = max(1, some.num_rows // _EXCERPTS)
    found: list[str] = []
    chosen = pa.array(list(range(0, some.num_rows, step))[:_EXCERPTS], pa.int64())
    for row in some.take(chosen).to_pylist():
        for payload in read_rows(url, row["segment"], [row["fetch_id"]]):
            middle = len(payload.body or b"") // 2
            excerpt = (payload.body or b"")[middle - _EXCERPT_BYTES // 2 :][:_EXCERPT_BYTES]
            if len(set(excerpt)) > 8:
                found.append(excerpt.hex())
    return found


def _begin(plan: Plan) -> Erasure:
    """Note the erasure, durably, before anything changes."""
    erasure = _noted(new_id(), plan)
    path = _plan_path(erasure)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump(asdict(plan), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    with transaction.atomic(durable=True):
        erasure.save(force_insert=True)
    logger.info("erasing id=%s fetches=%d", erasure.id, erasure.fetch_count)
    return erasure


def _noted(id_: UUID, plan: Plan) -> Erasure:
    """The row that says that there is, or was, an erasure; not saved."""
    return Erasure(
        id=id_,
        asked_by=plan.asked["by"],
        asked_digest=_keyed(plan.asked["text"]),
        feeds=plan.feeds,
        fetch_count=len(plan.fetch_ids),
        body_count=len(plan.digests),
        first_fetched_at=datetime.fromisoformat(plan.first_fetched_at),
        last_fetched_at=datetime.fromisoformat(plan.last_fetched_at),
        begun_at=datetime.fromisoformat(plan.begun_at),
    )


def _read_plan(erasure: Erasure) -> Plan:
    try:
        return Plan(**json.loads(_plan_path(erasure).read_text()))
    except FileNotFoundError:
        raise ArchiveError(
            f"The erasure of {erasure.fetch_count} fetches, begun at "
            f"{erasure.begun_at.isoformat()}, was interrupted, and its list "
            f"{_plan_path(erasure)} is not here. Finish it on the machine where it was begun, "
            "with `manage.py archive erase --resume`; or, where that home folder is lost, delete "
            f"the row {erasure.id} of raw_store_erasure and ask for the erasure again."
        ) from None


def _find_plans() -> None:
    """Note the erasures that the database does not know: it is a new one, or its commit was cut
    short. Remove the lists of those that are done, and what was half written."""
    states = dict(Erasure.objects.values_list("id", "state"))
    for path in sorted((Path(settings.ROOTCELLAR_HOME) / "erasing").glob("*")):
        state = states.get(UUID(path.stem))
        if path.suffix == ".tmp" or state == Erasure.DONE:
            path.unlink(missing_ok=True)
        elif state is None:
            _noted(UUID(path.stem), Plan(**json.loads(path.read_text()))).save(force_insert=True)


def _plan_path(erasure: Erasure) -> Path:
    return Path(settings.ROOTCELLAR_HOME) / "erasing" / f"{erasure.id}.json"


def _rewrite(url: str, plan: Plan) -> None:
    """Steps 1 and 2: the archive, its index, and what is kept per segment."""
    with transaction.atomic(durable=True):
        _forget_latest(plan.requests)
    drop = set(plan.fetch_ids)
    while drop:
        ids = pa.array(sorted(drop), pa.string())
        for segment in Segment.objects.filter(feed__in=plan.feeds).order_by("name"):
            if _holds(url, segment, ids):
                compaction.replace(url, [segment], Changes(drop=drop))
        # A writer that knew an erased body may have sealed a revisit of it meanwhile.
        drop = set(revisits_of(url, plan.feeds, ids)["fetch_id"].to_pylist())
        plan.fetch_ids += sorted(drop)
    compaction.sweep_replaced(url, AT_ONCE)
    followers.drop(plan.fetch_ids)
    with transaction.atomic(durable=True):
        index.remember(_newest(url, plan.requests))


def _holds(url: str, segment: Segment, ids: pa.Array) -> bool:
    return any(
        pc.any(pc.is_in(table["fetch_id"], ids)).as_py()
        for table in iter_tables(url, segment.path, ["fetch_id"])
    )


def _forget_latest(requests: list[list[str]]) -> None:
    """Nobody may ask about an erased version, nor name it as the holder of a body."""
    by_feed: dict[str, list[str]] = {}
    for feed, key in requests:
        by_feed.setdefault(feed, []).append(key)
    for feed, keys in by_feed.items():
        for start in range(0, len(keys), _BATCH):
            some = keys[start : start + _BATCH]
            LatestVersion.objects.filter(feed=feed, request_key__in=some).delete()


def _newest(url: str, requests: list[list[str]]) -> list[Latest]:
    """What the index should say of these requests, from the rows that are left of them."""
    by_feed: dict[str, list[str]] = {}
    for feed, key in requests:
        by_feed.setdefault(feed, []).append(key)
    found: list[Latest] = []
    for feed, keys in by_feed.items():
        wanted = pa.array(keys, pa.string())
        latest: dict[str, Latest] = {}
        for segment in Segment.objects.filter(feed=feed):
            for table in iter_tables(url, segment.path, upkeep.JUDGED_COLUMNS):
                left = table.filter(pc.is_in(table["request_key"], wanted))
                newest(to_payloads(left), latest)
        found += latest.values()
    return found


def _finish(url: str, erasure: Erasure, plan: Plan, advance: Advance | None) -> Erased:
    """Steps 3 to 5."""
    elsewhere = _addresses_left(url, plan)
    urls = [each for each in plan.urls if each not in elsewhere]
    followers.renew(
        followers.Removed(
            feeds=plan.feeds,
            fetch_ids=frozenset(plan.fetch_ids),
            urls=urls,
        )
    )
    clean_database()
    markers = Markers(
        fetch_ids=frozenset(plan.fetch_ids),
        digests=frozenset(plan.digests),
        urls=urls,
        excerpts=tuple(bytes.fromhex(each) for each in plan.excerpts),
    )
    proof = search(url, Path(settings.ROOTCELLAR_HOME), markers, advance=advance)
    still = _once(select(url, Asked(**plan.asked)))["fetched_at"]
    again = sum(fetched_at < erasure.begun_at for fetched_at in still.to_pylist())
    if again:
        proof.left.append(f"archive: {again} fetches are what was asked for")
    erasure.state = Erasure.LEFT if proof.left else Erasure.DONE
    erasure.finished_at = datetime.now(UTC)
    erasure.save()
    if not proof.left:
        _plan_path(erasure).unlink(missing_ok=True)
    logger.info("erased id=%s fetches=%d left=%d", erasure.id, erasure.fetch_count, len(proof.left))
    return Erased(id=erasure.id, fetch_count=erasure.fetch_count, proof=proof)


def _addresses_left(url: str, plan: Plan) -> set[str]:
    """Which of the plan's addresses other fetches of the archive have, too."""
    wanted = pa.array(plan.urls, pa.string())
    found: set[str] = set()
    for segment in Segment.objects.all():
        for table in iter_tables(url, segment.path, ["url"]):
            found.update(table["url"].filter(pc.is_in(table["url"], wanted)).to_pylist())
    return found


def clean_database() -> None:
    """Write the database file anew, so that no free page of it holds what was deleted.

    SQLite only: what PostgreSQL keeps of deleted rows is its administrator's (`VACUUM FULL`).
    """
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _keyed(text: str) -> str:
    """A digest by which who knows what was asked for finds it in the log, and nobody else."""
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
