"""Against: what an earlier version of a source's transforms says, compared with the present code.

Record files are kept per fingerprint, so what earlier code said of the archive is still
there. Both sides are linked from the segments that both have parsed: payloads that came
later would show as changes that no code made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow.parquet as pq

from raw_store.archive import Archive

from .columns import columns_of
from .difference import SAMPLE_SIZE, Comparison, Difference
from .errors import VersionUnknown
from .fingerprint import fingerprint
from .link import Linked, link
from .models import SourceState, derived_models
from .parse import parse_segments
from .readings import Reading
from .records import BORROWED, OUTCOMES, mark_used, parsed_segments, records_dir
from .registry import Transform
from .replay import known_transforms
from .sql import duck

LAST = "last"
"""Names the versions of the last replay: those that the live rows were made by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A state of a transform's code whose record files are there."""

    transform: str
    fingerprint: str
    first_used_at: datetime
    last_used_at: datetime
    """The oldest and the newest of its record files."""
    segment_count: int
    is_present: bool
    """It is the code as it is now."""

    @property
    def label(self) -> str:
        return f"{self.transform}@{self.fingerprint}"


def versions_of(source: str) -> list[Version]:
    """The known versions of a source's transforms, by transform, the newest first."""
    found = [version for transform in known_transforms(source) for version in _versions(transform)]
    return sorted(found, key=lambda v: (v.transform, -v.last_used_at.timestamp(), v.fingerprint))


def compare_with(
    source: str,
    archive: Archive,
    wanted: Sequence[str],
    *,
    as_of: datetime | None = None,
    sample_size: int = SAMPLE_SIZE,
) -> tuple[dict[str, Version], list[Difference], Linked]:
    """What the present code changes in the rows that earlier versions gave. Changes nothing.

    `wanted` are fingerprints, or beginnings of them, each with or without `NAME@` before it, or
    `LAST`. A transform that none of them names is the present one on both sides. Returns the
    versions, the differences per table, and what is linked at present, whose files are gone.
    Raises `VersionUnknown`, listing the known versions.
    """
    archive = archive.pinned()
    parse_segments(known_transforms(source), archive)
    chosen = _choose(source, wanted)
    before, now = _readings(source, chosen, archive)
    try:
        was = link(source, archive, as_of=as_of, readings=before)
    except duckdb.ConversionException as error:
        raise VersionUnknown(
            f"What {', '.join(wanted)} said does not fit the models of {source} as they are now: "
            f"{str(error).splitlines()[0]}"
        ) from error
    try:
        linked = link(source, archive, as_of=as_of, readings=now)
        try:
            return chosen, _compare(was, linked, sample_size), linked
        finally:
            _discard(linked)
    finally:
        _discard(was)


def _compare(was: Linked, linked: Linked, sample_size: int) -> list[Difference]:
    with duck() as connection:
        return [
            Comparison(connection, model, path, was.copies[model]).describe(sample_size)
            for model, path in linked.copies.items()
        ]


def _choose(source: str, wanted: Iterable[str]) -> dict[str, Version]:
    """Transform → the version that is asked for."""
    known = versions_of(source)
    chosen: dict[str, Version] = {}
    for text in wanted:
        if text == LAST:
            found = _last(source, known)
        else:
            name, _, start = text.rpartition("@")
            found = [
                version
                for version in known
                if version.fingerprint.startswith(start) and name in ("", version.transform)
            ]
        if not text or not found:
            raise VersionUnknown(f"{source} has no version {text!r}. {_listed(known)}")
        for version in found:
            if chosen.setdefault(version.transform, version) != version:
                raise VersionUnknown(
                    f"{text!r} means more than one version of {version.transform}: give more "
                    f"of it. {_listed(known)}"
                )
    return chosen


def _last(source: str, known: list[Version]) -> list[Version]:
    state = SourceState.objects.filter(source=source).first()
    prints: Mapping[str, str] = state.fingerprints if state else {}
    return [version for version in known if prints.get(version.transform) == version.fingerprint]


def _listed(known: list[Version]) -> str:
    if not known:
        return "None is known: nothing has been parsed yet."
    lines = [
        f"  {v.label}  {v.first_used_at:%Y-%m-%d %H:%M} to {v.last_used_at:%Y-%m-%d %H:%M}"
        f"{'  (present)' if v.is_present else ''}"
        for v in known
    ]
    return "Known versions:\n" + "\n".join(lines)


def _readings(
    source: str, chosen: Mapping[str, Version], archive: Archive
) -> tuple[dict[str, Reading], dict[str, Reading]]:
    """Transform → what the version has read, and what the present code has read of the same."""
    before, now = {}, {}
    for transform in known_transforms(source):
        version = chosen.get(transform.name)
        if version is None:
            continue
        present = f"{transform.name}@{fingerprint(transform)}"
        both = parsed_segments(version.label) & parsed_segments(present)
        segments = [s.name for s in archive.segments(transform.feed) if s.name in both]
        borrowed = sorted(name for name in both if name.startswith(BORROWED))
        names = (*segments, *borrowed)
        mark_used(version.label)
        before[transform.name] = Reading(label=version.label, names=names)
        _require_keys(source, version, before[transform.name])
        now[transform.name] = Reading(label=present, names=names)
    return before, now


def _require_keys(source: str, version: Version, reading: Reading) -> None:
    for model in derived_models(source):
        files = reading.files(model._meta.db_table)
        key = columns_of(model).key
        if files and not set(key) <= set(pq.read_schema(files[0]).names):
            raise VersionUnknown(
                f"{version.label} knew {model._meta.label} by another natural key than "
                f"{', '.join(key)}: no row of one is a row of the other."
            )


def _versions(transform: Transform) -> list[Version]:
    present = fingerprint(transform)
    found = []
    for folder in records_dir(OUTCOMES, "").glob(f"{transform.name}@*"):
        times = [path.stat().st_mtime for path in folder.glob("*.parquet")]
        if times:
            print_ = folder.name.rpartition("@")[2]
            found.append(
                Version(
                    transform=transform.name,
                    fingerprint=print_,
                    first_used_at=datetime.fromtimestamp(min(times), UTC),
                    last_used_at=datetime.fromtimestamp(max(times), UTC),
                    segment_count=len(times),
                    is_present=print_ == present,
                )
            )
    return found


def _discard(linked: Linked) -> None:
    for path in linked.copies.values():
        path.unlink(missing_ok=True)
