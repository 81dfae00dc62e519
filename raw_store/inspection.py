"""Inspecting one segment: every digest recomputed, every row compared with what it says.

Nothing here needs Django: `raw_store.verification` hands segments to worker processes. Bodies are
read one by one, so a worker needs little memory however large the segment is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .digests import column_digests
from .errors import SegmentCorrupt
from .segments import (
    FORMAT_VERSION,
    SegmentInfo,
    iter_tables,
    opened,
    read_group,
    read_info,
)

_SHOWN = 5
_COLUMNS = [
    "fetch_id",
    "feed",
    "payload_id",
    "body_digest",
    "body_size",
    "encoded_digest",
    "encoded_size",
]


@dataclass(slots=True, kw_only=True)
class SegmentReport:
    """What verify found in one segment."""

    path: str
    feed: str = ""
    row_count: int = 0
    body_bytes: int = 0
    present_count: int = 0
    """Rows that hold their body, whole."""
    revisit_count: int = 0
    """Rows whose body another row holds."""
    absent_count: int = 0
    """Rows whose body was removed by policy: its digest is there, the body is not."""
    damaged_count: int = 0
    """Rows that are not what they say, or cannot be read."""
    lost_count: int = 0
    """Rows that are nowhere, or whose body is."""
    problems: list[str] = field(default_factory=list)
    """Each names the thing and what is wrong with it; empty when all is well."""
    elsewhere: dict[str, str | None] = field(default_factory=dict)
    """Fetches of other segments that revisits name, with the digest they carry: to be looked up."""
    revisits_of: Counter[str] = field(default_factory=Counter)
    """How many revisits name each of those."""

    @property
    def is_whole(self) -> bool:
        return not self.problems


def inspect_segment(
    url: str, path: str, feed: str, indexed: Mapping[str, Any] | None
) -> SegmentReport:
    """Read a whole segment. `indexed` is what the index says of its footer, if it knows it."""
    report = SegmentReport(path=path, feed=feed)
    if indexed is None:
        report.problems.append("is not in the index; `manage.py archive gc` adopts it.")
    try:
        info = read_info(url, path)
        report.feed = info.feed
        for name, known in (indexed or {}).items():
            said = getattr(info, name)
            if said != known:
                report.problems.append(
                    f"{name} is {said} in the file and {known} in the index; "
                    "`manage.py archive reindex` believes the file."
                )
        _inspect_rows(url, info, report)
    except SegmentCorrupt as error:
        if indexed is None:
            report.problems.clear()
        report.problems.append(str(error))
        rows = int(indexed["row_count"]) if indexed else 0
        report.present_count = report.revisit_count = report.absent_count = 0
        report.row_count = report.damaged_count = report.lost_count = 0
        if isinstance(error.__cause__, FileNotFoundError):
            report.lost_count = rows
        else:
            report.damaged_count = rows
    return report


def judge_holder(
    fetch_id: str, carried: str | None, holder: tuple[str | None, str | None] | None
) -> str | None:
    """What is wrong with a revisit that carries this digest: `holder` is the `payload_id` and the
    `body_digest` of the row that it names, or None where there is none."""
    if holder is None:
        return f"revisits name fetch {fetch_id}, whose body is not in a readable segment."
    named, digest = holder
    if named is None:
        return f"revisits name fetch {fetch_id}, which holds no body."
    if named != fetch_id:
        return f"revisits name fetch {fetch_id}, which is a revisit itself."
    if digest != carried:
        return f"revisits of fetch {fetch_id} carry another digest than its body."
    return None


def holders_among(table: pa.Table, wanted: pa.Array) -> dict[str, tuple[str | None, str | None]]:
    """Of the rows with these fetch ids, `payload_id` and `body_digest`."""
    found = table.filter(pc.is_in(table["fetch_id"], wanted))
    columns = (found[name].to_pylist() for name in ("fetch_id", "payload_id", "body_digest"))
    return {fetch_id: (named, digest) for fetch_id, named, digest in zip(*columns, strict=True)}


def _inspect_rows(url: str, info: SegmentInfo, report: SegmentReport) -> None:
    if info.format_version > FORMAT_VERSION:
        report.problems.append(
            f"has format version {info.format_version}; this program knows {FORMAT_VERSION}."
        )
    wrong: Counter[str] = Counter()
    ids = None
    if info.first_fetch_id is not None and info.last_fetch_id is not None:
        ids = (str(info.first_fetch_id), str(info.last_fetch_id))
    for row, body, encoded in _rows(url, info.path):
        report.row_count += 1
        report.body_bytes += body[1] if body else 0
        problems = list(_row_problems(row, body, encoded, info.feed, ids))
        for problem in problems:
            wrong[problem] += 1
            if wrong[problem] <= _SHOWN:
                report.problems.append(f"fetch {row['fetch_id']}: {problem}.")
        if problems:
            report.damaged_count += 1
        elif body:
            report.present_count += 1
        elif row["payload_id"]:
            report.revisit_count += 1
        elif row["body_digest"]:
            report.absent_count += 1
    for problem, count in wrong.items():
        if count > _SHOWN:
            report.problems.append(f"{problem}: {count - _SHOWN} more.")
    for what, found, said in (
        ("payloads", report.row_count, info.row_count),
        ("bytes of bodies", report.body_bytes, info.body_bytes),
    ):
        if found != said:
            report.problems.append(f"holds {found} {what}; its footer says {said}.")
    _inspect_revisits(url, info, report)


def _rows(
    url: str, path: str
) -> Iterator[tuple[dict[str, Any], tuple[str, int] | None, tuple[str, int] | None]]:
    """Each row's metadata, and the digests and sizes of its body and its encoded body."""
    with opened(url, path) as file:
        for group in range(file.num_row_groups):
            yield from zip(
                read_group(file, path, group, _COLUMNS).to_pylist(),
                column_digests(url, path, file, group, "body"),
                column_digests(url, path, file, group, "encoded_body"),
                strict=True,
            )


def _row_problems(
    row: dict[str, Any],
    body: tuple[str, int] | None,
    encoded: tuple[str, int] | None,
    feed: str,
    ids: tuple[str, str] | None,
) -> Iterator[str]:
    if row["feed"] != feed:
        yield f"its feed is {row['feed']}, the segment's is {feed}"
    if body is not None:
        if body[0] != row["body_digest"]:
            yield "the digest of its body is not the one recorded"
        if body[1] != row["body_size"]:
            yield "the size of its body is not the one recorded"
    elif row["payload_id"] == row["fetch_id"]:
        yield "its body is missing"
    if encoded is not None:
        if row["encoded_digest"] not in (None, encoded[0]):
            yield "the digest of its encoded body is not the one recorded"
        if row["encoded_size"] not in (None, encoded[1]):
            yield "the size of its encoded body is not the one recorded"
    if ids is None:
        yield "the footer says there are no rows"
    elif not ids[0] <= row["fetch_id"] <= ids[1]:
        yield "its id is outside the range in the footer"


def _inspect_revisits(url: str, info: SegmentInfo, report: SegmentReport) -> None:
    """Look up here the holders that revisits name; note those that are not here."""
    columns = ["fetch_id", "payload_id", "body_digest"]
    tables = list(iter_tables(url, info.path, columns))
    named: dict[str, str | None] = {}
    for table in tables:
        # A row without `payload_id` compares as null, and is no revisit.
        revisits = table.filter(pc.not_equal(table["payload_id"], table["fetch_id"]))
        ids = revisits["payload_id"].to_pylist()
        named.update(zip(ids, revisits["body_digest"].to_pylist(), strict=True))
        report.revisits_of.update(ids)
    here: dict[str, tuple[str | None, str | None]] = {}
    wanted = pa.array(list(named), pa.string())
    for table in tables:
        here |= holders_among(table, wanted)
    for fetch_id, digest in named.items():
        if fetch_id not in here:
            report.elsewhere[fetch_id] = digest
        else:
            note_holder(report, fetch_id, judge_holder(fetch_id, digest, here[fetch_id]))
    report.revisits_of = Counter({each: report.revisits_of[each] for each in report.elsewhere})


def note_holder(report: SegmentReport, fetch_id: str, problem: str | None) -> None:
    """Count the revisits of a holder with which something is wrong as lost."""
    if problem:
        count = report.revisits_of[fetch_id]
        report.problems.append(problem)
        report.lost_count += count
        report.revisit_count -= min(count, report.revisit_count)
