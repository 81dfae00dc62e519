"""A diff before publishing: what a replay would change, for people and for programs.

Compared are the live rows, or the rows that earlier code gave, with those of the present code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string

from raw_store.archive import Archive
from raw_store.locks import exclusive
from reshape.against import Version, compare_with
from reshape.difference import SAMPLE_SIZE, Difference
from reshape.replay import as_json, derive, differences, discard, parse_new

from .telling import counts, many, notices, shown

SAMPLES_IN_HTML = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What a replay of one source would change."""

    source: str
    as_of: datetime | None
    tables: list[Difference]
    """One per model, and one each for quarantined payloads and held rows."""
    against: list[Version] = field(default_factory=list)
    """The earlier versions compared with; none where it is the live rows."""
    notices: list[str] = field(default_factory=list)

    @property
    def change_count(self) -> int:
        return sum(difference.total for difference in self.tables)

    @property
    def compared(self) -> str:
        """What is compared with what, in words."""
        then = f" as of {self.as_of:%Y-%m-%d %H:%M:%S} UTC" if self.as_of else ""
        if not self.against:
            return f"the live rows, and what a replay{then} would make of them"
        labels = ", ".join(version.label for version in self.against)
        return f"the rows that {labels} gave, and those of the present code{then}"


def find_diff(
    source: str,
    *,
    as_of: datetime | None = None,
    against: Sequence[str] = (),
    progress: bool = False,
    sample_size: int = SAMPLE_SIZE,
) -> Diff:
    """Compare a source's live rows, or what the versions `against` gave, with the present code's.

    Nothing changes, and while rows are compared nothing is loaded. Raises `ReshapeError`,
    `ArchiveError`.
    """
    # This may take long, and holds nobody up.
    parse_new(source, Archive().pinned(), progress=progress)
    # A load between the two sides would show as a difference.
    with exclusive("load"):
        if against:
            return _against(source, against, as_of, sample_size)
        derivation = derive(source, Archive(), as_of=as_of, progress=progress)
        try:
            tables = differences(derivation, sample_size=sample_size)
        finally:
            discard(derivation)
    return Diff(source=source, as_of=as_of, tables=tables, notices=list(notices(derivation)))


def _against(source: str, against: Sequence[str], as_of: datetime | None, sample_size: int) -> Diff:
    chosen, tables, linked = compare_with(
        source, Archive(), against, as_of=as_of, sample_size=sample_size
    )
    return Diff(
        source=source,
        as_of=as_of,
        tables=tables,
        against=list(chosen.values()),
        notices=[f"damaged: {problem}" for problem in linked.damaged],
    )


def as_text(diff: Diff) -> Iterator[str]:
    """The lines that a terminal shows."""
    if diff.against:
        yield f"{diff.source}: {diff.compared}"
    if not diff.change_count:
        yield f"{diff.source}: " + (
            "both give the same rows" if diff.against else "a replay would change nothing"
        )
    for difference in diff.tables:
        if difference.total:
            yield f"{difference.table}: {counts([difference])}"
            yield from (f"  {line}" for line in samples(difference))
    yield from (f"  {notice}" for notice in diff.notices)


def as_plain(diff: Diff) -> dict[str, Any]:
    """The diff as plain values, for `--json`."""
    return {
        "source": diff.source,
        "as_of": diff.as_of,
        "against": [asdict(version) for version in diff.against],
        "change_count": diff.change_count,
        "tables": [as_json(difference) for difference in diff.tables],
        "notices": diff.notices,
    }


def as_html(diffs: Sequence[Diff]) -> str:
    """One page that stands alone: no script, nothing to fetch, every value escaped."""
    pages = [replace(diff, tables=[_readable(table) for table in diff.tables]) for diff in diffs]
    made_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return render_to_string(
        "etl/diff.html", {"diffs": pages, "made_at": made_at, "kinds": _kinds(diffs)}
    )


def samples(difference: Difference) -> Iterator[str]:
    """Which columns change in how many rows, then a few rows of each kind."""
    if difference.changed_by_column:
        listed = ", ".join(
            f"{column} in {count:,}" for column, count in difference.changed_by_column.items()
        )
        yield f"changed columns: {listed}"
    for sample in difference.samples.get("changed", [])[:SAMPLE_SIZE]:
        key = ", ".join(str(value) for value in sample["key"].values())
        for column, change in sample["changes"].items():
            if column != "fetch_id" or len(sample["changes"]) == 1:
                yield f"~ {key}: {column} {shown(change['was'])} → {shown(change['is'])}"
    for sign, kind in (("+", "added"), ("-", "removed")):
        for row in difference.samples.get(kind, [])[:SAMPLE_SIZE]:
            yield f"{sign} " + ", ".join(f"{name}={value}" for name, value in row.items())


def _readable(difference: Difference) -> Difference:
    """With every sampled value as text: a template would shorten times."""
    samples: dict[str, list[dict[str, Any]]] = {
        kind: [{name: _text(value) for name, value in row.items()} for row in rows]
        for kind, rows in difference.samples.items()
        if kind != "changed"
    }
    samples["changed"] = [
        {
            "key": {name: _text(value) for name, value in sample["key"].items()},
            "changes": {
                name: {side: _text(value) for side, value in change.items()}
                for name, change in sample["changes"].items()
            },
        }
        for sample in difference.samples.get("changed", [])
    ]
    return replace(difference, samples=samples)


def _text(value: object) -> str:
    return "null" if value is None else str(value)


def version_lines(versions: Sequence[Version]) -> Iterator[str]:
    """The versions that `--against` can name, a line each."""
    width = max((len(version.label) for version in versions), default=0)
    for version in versions:
        used = f"{version.first_used_at:%Y-%m-%d %H:%M} to {version.last_used_at:%Y-%m-%d %H:%M}"
        present = "  the present code" if version.is_present else ""
        files = many(version.segment_count, "record file")
        yield f"{version.label:<{width}}  {used}  {files}{present}"
    if not versions:
        yield "No version is known: nothing has been parsed yet."


def _kinds(diffs: Sequence[Diff]) -> dict[str, int]:
    return {
        kind: sum(getattr(table, kind) for diff in diffs for table in diff.tables)
        for kind in ("added", "changed", "removed")
    }
