"""The walk: from archived payloads to rows, rollups and a published build, per source.

    parse → link → build → load → publish

Each stage is a package of its own; this is where they meet.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection, models

from raw_store import feeds
from raw_store.archive import Archive
from raw_store.locks import RECORDS, exclusive, exclusive_if_free, shared
from raw_store.retention import apply_retention
from reshape.copies import present_copies, restore_copies
from reshape.difference import is_shared
from reshape.executors import refuse_within_import
from reshape.kept_history import present_histories, renew_histories
from reshape.limits import exceeded
from reshape.load import Loaded, Part, load, settle
from reshape.models import derived_models
from reshape.relinking import damage, relink
from reshape.replay import Derivation, derive, withhold
from reshape.room import room_needed
from reshape.sweeping import Swept, sweep_records
from warehouse.build import Build, build, is_current
from warehouse.errors import AssertFailed
from warehouse.places import is_elsewhere
from warehouse.publish import publish
from warehouse.rollups import rollup_models
from warehouse.state import forget_failures, note_computed, note_failure
from warehouse.tables import ensure_tables

from .policy import waits

logger = logging.getLogger(__name__)

RETAIN_EVERY = timedelta(days=1)
SWEEP_EVERY = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_retained_at: dict[str, datetime] = {}
"""When this process last looked for bodies that a source's feeds keep no longer."""
_swept_at: dict[str, datetime] = {}
"""When this process last looked for record files of earlier code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a replay of one source did."""

    source: str
    derivation: Derivation
    loaded: Loaded
    build: Build | None
    """The build published; None where the published one is still right."""
    dependents: tuple["Refreshed", ...] = ()
    """The sources that rest on this one and were linked again, loaded in the same transaction."""


@room_needed()
def refresh(
    source: str,
    *,
    archive: Archive | None = None,
    as_of: datetime | None = None,
    progress: bool = False,
    trust_copies: bool = True,
    despite_quarantine: bool = False,
    anew: bool = False,
    asked: bool = False,
) -> Refreshed:
    """Replay one source: derive its rows, compute the rollups they feed, load, publish.

    Where its keys change, so do the links that lead to it: the sources that rest on it are
    derived as well, and everything is loaded in one transaction; one whose changed code waits
    (`etl.policy`) only loses what has no target any more.
    With `trust_copies` the tables are taken to be as the last load left them, and only what was
    archived since is linked, unless `anew`; without, everything is, and every row is compared with
    the database. Kept histories are renewed once in a while, or at once where someone `asked`.
    Raises `ReshapeError`, `WarehouseError`, `ArchiveError`; among them `LimitExceeded` where more
    is in quarantine than a feed allows, unless `despite_quarantine`: then the quarantine alone
    was loaded, and every row stays as it was; and `AssertFailed`, which `status` shows until the
    source is loaded again.
    """
    refuse_within_import()
    with exclusive("load"), shared(RECORDS):
        archive = (archive or Archive()).pinned()
        derivation = derive(
            source,
            archive,
            as_of=as_of,
            progress=progress,
            for_load=True,
            anew=anew or not trust_copies,
        )
        is_exceeded = bool(exceeded(derivation.linked.measures))
        if is_exceeded and not despite_quarantine:
            withhold(derivation)
        relinked = relink(derivation, archive, always=not trust_copies, waits=waits)
        group = [derivation, *relinked]
        changed = {table for each in group for table in settle(each.linked.copies)}
        linked = {model: path for each in group for model, path in each.linked.copies.items()}
        if not damage(group):
            derived = [
                model
                for each in group
                if not each.is_kept
                for model in derived_models(each.linked.source)
            ]
            changed |= renew_histories(derived, archive, at_once=asked or not trust_copies)
        try:
            built = _build(linked, changed if trust_copies else None)
        except AssertFailed as failure:
            note_failure(source, failure)
            raise
        loaded = load(
            source,
            {**derivation.linked.copies, **(built.exports if built else {})},
            fingerprints=derivation.fingerprints,
            # The next replay minds the limit again, though nothing may be new to it.
            inputs="" if is_exceeded else derivation.inputs,
            trust_copies=trust_copies,
            may_delete=not damage(group),
            prepare=lambda: _prepare(built, source),
            beside=[_part(each) for each in relinked],
            progress=progress,
        )
        if built:
            publish(built)
        for each in group:
            for model in filter(is_shared, each.linked.copies):
                each.linked.copies[model].unlink()
    also = [_refreshed(each, loaded.beside[each.linked.source], None, ()) for each in relinked]
    return _refreshed(derivation, loaded, built, also)


def _part(derivation: Derivation) -> Part:
    linked = derivation.linked
    return Part(
        source=linked.source,
        copies=linked.copies,
        fingerprints=None if derivation.is_kept else derivation.fingerprints,
        limit_exceeded=derivation.limit_exceeded,
    )


def _refreshed(
    derivation: Derivation, loaded: Loaded, built: Build | None, also: Iterable[Refreshed]
) -> Refreshed:
    """What was done, after logging what is worth a line."""
    source = derivation.linked.source
    for emptied in derivation.linked.emptied:
        logger.warning(
            "payload gives no row where the one before gave %d transform=%s fetch=%s url=%s",
            emptied.record_count_before,
            emptied.transform,
            emptied.fetch_id,
            emptied.url,
        )
    for problem in derivation.damaged:
        logger.error("segment damaged: %s", problem)
    logger.info("refreshed source=%s changed=%d", source, loaded.changed_count)
    return Refreshed(
        source=source, derivation=derivation, loaded=loaded, build=built, dependents=tuple(also)
    )


def tidy(source: str, *, archive: Archive | None = None) -> None:
    """Merge the source's segments where many small ones have gathered; once a day, remove the
    bodies that its feeds keep no longer, and record files of code that is long gone."""
    archive = archive or Archive()
    chosen = [feed for feed in feeds.all_feeds() if feed.source == source]
    archive.compact([feed.name for feed in chosen], due_only=True)
    now = datetime.now(UTC)
    if now - _swept_at.get("records", _NEVER) >= SWEEP_EVERY:
        # Who parses for hours is not waited for, least of all with "load" held.
        with exclusive("load"), exclusive_if_free(RECORDS) as is_free:
            if is_free:
                _swept_at["records"] = now
                sweep_records()
    if now - _retained_at.get(source, _NEVER) >= RETAIN_EVERY:
        _retained_at[source] = now
        apply_retention(archive.url, chosen, now, due_only=True)


def sweep() -> Swept:
    """Remove the record files of earlier code that nobody has used for `RECORDS_GRACE`."""
    with exclusive("load"), exclusive(RECORDS):
        return sweep_records()


def rebuild() -> Build:
    """Compute every rollup afresh from the tables' columnar copies, load and publish them."""
    with exclusive("load"):
        restore_copies(derived_models())
        try:
            built = build(_present())
        except AssertFailed as failure:
            note_failure("", failure)
            raise
        load("rollups", built.exports, prepare=lambda: _prepare(built))
        publish(built)
    return built


def rebuild_if_moved() -> None:
    """Build anew where the published build names files of another folder: the home was moved."""
    if is_elsewhere():
        logger.info("the home folder was moved, building anew")
        rebuild()


def _prepare(built: Build | None, source: str = "") -> set[str]:
    """Ready the serving database for a build's rows, in the load's transaction."""
    made = ensure_tables(connection)
    if built:
        note_computed(built.computed_at)
    forget_failures(source)
    return made


def _build(linked: dict[type[models.Model], Path], changed: Collection[str] | None) -> Build | None:
    """Build from the linked rows of the sources at hand and the present copies of the others.

    Returns None where nothing `changed` and the published build is made of just these copies.
    """
    restore_copies(model for model in derived_models() if model not in linked)
    copies = _present()
    copies |= {model._meta.db_table: path for model, path in linked.items() if not is_shared(model)}
    rollups = rollup_models()
    if changed is None or len(present_copies(rollups)) < len(rollups):
        return build(copies)
    if not set(changed) & set(copies) and is_current(copies):
        return None
    return build(copies, changed=set(changed))


def _present() -> dict[str, Path]:
    """The present copies of all models, and the histories that some of them keep."""
    return present_copies(derived_models()) | present_histories(derived_models())
