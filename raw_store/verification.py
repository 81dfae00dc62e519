"""Verify: recompute every digest and compare it with the row, the footer and the index."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING
from uuid import UUID

from .errors import SegmentCorrupt
from .files import list_files
from .models import Segment
from .payload import Payload, digest
from .segments import FORMAT_VERSION, SegmentInfo, iter_payloads, read_info

if TYPE_CHECKING:
    from .archive import Archive

_SHOWN = 5


@dataclass(slots=True, kw_only=True)
class SegmentReport:
    """What verify found in one segment."""

    path: str
    row_count: int = 0
    body_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """Each names the thing and what is wrong with it; empty when all is well."""

    @property
    def is_whole(self) -> bool:
        return not self.problems


def verify(archive: "Archive", feed: str | None = None) -> Iterator[SegmentReport]:
    """Read every segment of the index and every segment file that is not in it; report on each.

    Recomputes the digest and the size of each body, counts rows against footer and index,
    and looks up the fetches that revisits name.
    """
    holders = _Holders(archive)
    indexed = archive.segments(feed)
    for segment in indexed:
        yield _verify_segment(archive, segment, holders)
    known = {segment.path for segment in indexed}
    for file in list_files(archive.url, feed):
        if not file.is_segment or file.path in known:
            continue
        if Segment.objects.filter(path=file.path).exists():
            # Sealed since the list was made: the next verify reads it.
            continue
        report = SegmentReport(path=file.path)
        report.problems.append("is not in the index; `manage.py archive gc` adopts it.")
        try:
            info = read_info(archive.url, file.path)
            _verify_rows(archive, info, report, holders)
        except SegmentCorrupt as error:
            report.problems = [str(error)]
        yield report


def _verify_segment(archive: "Archive", segment: Segment, holders: "_Holders") -> SegmentReport:
    report = SegmentReport(path=segment.path)
    try:
        info = read_info(archive.url, segment.path)
        for each in fields(SegmentInfo):
            said, known = getattr(info, each.name), getattr(segment, each.name)
            if said != known:
                report.problems.append(
                    f"{each.name} is {said} in the file and {known} in the index; "
                    "`manage.py archive reindex` believes the file."
                )
        _verify_rows(archive, info, report, holders)
    except SegmentCorrupt as error:
        report.problems.append(str(error))
    return report


def _verify_rows(
    archive: "Archive", info: SegmentInfo, report: SegmentReport, holders: "_Holders"
) -> None:
    if info.format_version > FORMAT_VERSION:
        report.problems.append(
            f"has format version {info.format_version}; this program knows {FORMAT_VERSION}."
        )
    wrong: Counter[str] = Counter()
    revisits: dict[UUID, str | None] = {}
    own: dict[UUID, str | None] = {}
    for row in iter_payloads(archive.url, info.path):
        report.row_count += 1
        report.body_bytes += len(row.body or b"")
        for problem in _row_problems(row, info):
            wrong[problem] += 1
            if wrong[problem] <= _SHOWN:
                report.problems.append(f"fetch {row.fetch_id}: {problem}.")
        if row.payload_id == row.fetch_id:
            own[row.fetch_id] = row.body_digest
        elif row.payload_id is not None:
            revisits[row.payload_id] = row.body_digest
    for problem, count in wrong.items():
        if count > _SHOWN:
            report.problems.append(f"{problem}: {count - _SHOWN} more.")
    for what, found, said in (
        ("payloads", report.row_count, info.row_count),
        ("bytes of bodies", report.body_bytes, info.body_bytes),
    ):
        if found != said:
            report.problems.append(f"holds {found} {what}; its footer says {said}.")
    holders.learn(own)
    report.problems.extend(holders.problems(revisits))


def _row_problems(row: Payload, info: SegmentInfo) -> Iterator[str]:
    if row.feed != info.feed:
        yield f"its feed is {row.feed}, the segment's is {info.feed}"
    if row.body is not None:
        if digest(row.body) != row.body_digest:
            yield "the digest of its body is not the one recorded"
        if len(row.body) != row.body_size:
            yield "the size of its body is not the one recorded"
    elif row.payload_id == row.fetch_id:
        yield "its body is missing"
    if row.encoded_body is not None:
        if row.encoded_digest is not None and digest(row.encoded_body) != row.encoded_digest:
            yield "the digest of its encoded body is not the one recorded"
        if row.encoded_size is not None and len(row.encoded_body) != row.encoded_size:
            yield "the size of its encoded body is not the one recorded"
    if info.first_fetch_id is None or info.last_fetch_id is None:
        yield "the footer says there are no rows"
    elif not info.first_fetch_id <= row.fetch_id <= info.last_fetch_id:
        yield "its id is outside the range in the footer"


class _Holders:
    """The digests of bodies that revisits name, looked up once each."""

    def __init__(self, archive: "Archive") -> None:
        self._archive = archive
        self._digests: dict[UUID, str | None] = {}

    def learn(self, own: dict[UUID, str | None]) -> None:
        """Remember a segment's bodies for the revisits in it; earlier ones are looked up again."""
        self._digests = own

    def problems(self, revisits: dict[UUID, str | None]) -> Iterator[str]:
        unknown = [fetch_id for fetch_id in revisits if fetch_id not in self._digests]
        found = self._archive.read_many(unknown, bodies=False, on_damaged=lambda _: None)
        held = self._digests | {
            fetch_id: row.body_digest
            for fetch_id, row in found.items()
            if row.payload_id == row.fetch_id
        }
        for fetch_id, body_digest in revisits.items():
            if fetch_id not in held:
                yield f"revisits name fetch {fetch_id}, whose body is not in a readable segment."
            elif held[fetch_id] != body_digest:
                yield f"revisits of fetch {fetch_id} carry another digest than its body."
