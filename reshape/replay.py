"""Replay: derive a source's rows again from all of the archive. No network is touched.

    parse     segments → record files          only what no transform of this fingerprint has read
    link      record files → linked rows       one Parquet file per model
    load      linked rows → database           the difference, in one transaction

Rollups are computed between link and load; `etl.walk` puts the stages together.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from django.db import connection

from raw_store.archive import Archive
from raw_store.errors import closest_first
from raw_store.locks import RECORDS, shared
from raw_store.progress import Progress

from .difference import SAMPLE_SIZE, Comparison, Difference, live_rows
from .errors import LimitExceeded, NothingToReplay
from .fingerprint import fingerprint
from .holding import Targets
from .inputs import inputs_of
from .last_load import as_loaded, loaded_inputs
from .limits import advice
from .link import Linked, link
from .load import load
from .mending import READING_FAILED, mend, says_unreadable
from .models import QuarantineEntry
from .parse import Parsed, parse_segments, payloads_to_parse
from .registry import Transform, all_transforms, transforms_of
from .room import room_needed
from .sql import duck
from .sql_discovery import refuse_broken

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """What a source's rows should be, and how that was found; nothing live has changed."""

    parsed: Parsed
    linked: Linked
    fingerprints: dict[str, str]
    inputs: str = ""
    """What the rows were linked from (`reshape.inputs`), for those that are about to be loaded."""
    limit_exceeded: str = ""
    """Which limit its source is beyond; empty where it is not."""
    is_kept: bool = False
    """Whether its rows are those that were loaded before, but for some that lost their target."""
    is_as_loaded: bool = False
    """Whether nothing is new since the last load, so that nothing was linked."""

    @property
    def damaged(self) -> list[str]:
        """The segments that could not be read, and why."""
        return sorted({*self.parsed.damaged, *self.linked.damaged})


@room_needed()
def derive(
    source: str,
    archive: Archive,
    *,
    as_of: datetime | None = None,
    progress: bool = False,
    targets: Targets = MappingProxyType({}),
    for_load: bool = False,
    anew: bool = True,
) -> Derivation:
    """Parse what is new to the source's transforms, and link. Raises `NothingToReplay`.

    `targets` are rows of other sources that are about to be loaded, for links into them.
    `for_load` says that the result is about to be loaded: what is learned is kept. Unless `anew`,
    it builds upon the last load, whose rows are taken to be in their tables.
    """
    known_transforms(source)
    # A compaction between two steps must not change which segments they speak of.
    archive = archive.pinned()

    def once() -> Derivation:
        return _derive(source, archive, as_of, progress, targets, for_load=for_load, anew=anew)

    with shared(RECORDS):
        try:
            derivation = once()
        except READING_FAILED as error:
            if not (says_unreadable(error) and mend(source)):
                raise
            return once()
        if derivation.linked.lacks_records and mend(source):
            discard(derivation)
            return once()
    return derivation


def _derive(
    source: str,
    archive: Archive,
    as_of: datetime | None,
    progress: bool,
    targets: Targets,
    *,
    for_load: bool,
    anew: bool,
) -> Derivation:
    inputs = inputs_of(source, archive) if for_load and as_of is None and not targets else ""
    since = "" if anew or not inputs else loaded_inputs(source)
    if since and since == inputs and (unchanged := as_loaded(source)):
        return Derivation(
            parsed=Parsed(),
            linked=unchanged,
            fingerprints=_fingerprints(source),
            inputs=inputs,
            is_as_loaded=True,
        )
    parsed = parse_new(source, archive, progress=progress)
    linked = link(source, archive, as_of=as_of, targets=targets, inputs=inputs, since=since)
    return Derivation(
        parsed=parsed,
        linked=linked,
        fingerprints=_fingerprints(source),
        # Restored, a damaged segment has the name it had, and must not count as known.
        inputs="" if parsed.damaged or linked.damaged else inputs,
    )


def parse_new(source: str, archive: Archive, *, progress: bool = False) -> Parsed:
    """Parse what is new to the source's transforms. Raises `NothingToReplay`."""
    transforms = known_transforms(source)
    total = payloads_to_parse(transforms, archive)
    with Progress(f"parse {source}", total, quiet=not progress or not total) as shown:
        return parse_segments(transforms, archive, advance=shown.advance)


def _fingerprints(source: str) -> dict[str, str]:
    return {transform.name: fingerprint(transform) for transform in transforms_of(source)}


def known_transforms(source: str) -> list[Transform]:
    """The transforms of a source, or `NothingToReplay` naming the sources that have some.

    Raises `TransformInvalid` where one of them is a broken SQL file: replayed without it, the
    rows it gives would be gone.
    """
    refuse_broken(source)
    transforms = transforms_of(source)
    if not transforms:
        known = {transform.source for transform in all_transforms()}
        listed = ", ".join(closest_first(source, known)) or "none yet"
        raise NothingToReplay(
            f"There is no source {source!r} with a transform. "
            f"Known sources, closest first: {listed}."
        )
    return transforms


def differences(derivation: Derivation, *, sample_size: int = SAMPLE_SIZE) -> list[Difference]:
    """What loading the linked rows would change, per model, with samples. Changes nothing."""
    found = []
    with duck() as duckdb:
        for model, path in derivation.linked.copies.items():
            live = live_rows(connection, model, derivation.linked.source)
            found.append(Comparison(duckdb, model, path, live).describe(sample_size))
    return found


def discard(derivation: Derivation) -> None:
    """Remove the linked rows' files of a derivation that is not loaded."""
    for path in derivation.linked.copies.values():
        path.unlink(missing_ok=True)


def withhold(derivation: Derivation) -> NoReturn:
    """Load the quarantine of a derivation and nothing else of it, then raise `LimitExceeded`.

    For a source of which more is in quarantine than its feeds allow: what is wrong can be looked
    at, and the rows stay as they were.
    """
    linked = derivation.linked
    why = advice(linked.source, linked.measures)
    load(linked.source, {QuarantineEntry: linked.copies[QuarantineEntry]}, limit_exceeded=why)
    discard(derivation)
    logger.error("%s", why)
    raise LimitExceeded(why)


def as_json(difference: Difference) -> dict[str, Any]:
    """A difference as plain values, for `--json`."""
    return {
        "table": difference.table,
        "added": difference.added,
        "changed": difference.changed,
        "removed": difference.removed,
        "changed_by_column": difference.changed_by_column,
        "samples": difference.samples,
    }
