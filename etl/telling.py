"""What a replay tells people: counts of rows, and what they should look into."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from reshape.difference import Difference
from reshape.limits import exceeded
from reshape.models import derived_models
from reshape.replay import Derivation, as_json

from .walk import Refreshed


def many(count: int, what: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def shown(value: object) -> str:
    """A row's value as a person reads it: text in quotes, nothing as null."""
    if value is None:
        return "null"
    return repr(value) if isinstance(value, str | bytes) else str(value)


def counts(differences: Iterable[Difference]) -> str:
    """`3 added, 1 changed`, or `unchanged`."""
    listed = list(differences)
    said = [
        f"{count:,} {kind}"
        for kind in ("added", "changed", "removed")
        if (count := sum(getattr(difference, kind) for difference in listed))
    ]
    return ", ".join(said) or "unchanged"


def changed_rows(done: Refreshed) -> dict[str, int]:
    """How many of the source's rows are new, changed and gone, over all its models."""
    tables = {model._meta.db_table for model in derived_models(done.source)}
    found = [each for table, each in done.loaded.differences.items() if table in tables]
    return {
        "new": sum(each.added for each in found),
        "changed": sum(each.changed for each in found),
        "gone": sum(each.removed for each in found),
    }


def notices(derivation: Derivation) -> Iterator[str]:
    """What is in quarantine, held, emptied or damaged, each with the next step."""
    linked = derivation.linked
    rows = linked.rejected_count
    payloads = linked.quarantined_count - rows
    waiting = [many(count, what) for count, what in ((payloads, "payload"), (rows, "row")) if count]
    if waiting:
        yield (
            f"{' and '.join(waiting)} in quarantine: "
            f"`manage.py quarantine {linked.source}` says why"
        )
    for measured in exceeded(linked.measures):
        yield f"over the limit: {measured}; without --despite-quarantine nothing is loaded"
    if linked.held_count:
        yield (
            f"{many(linked.held_count, 'row')} held until the target of a link appears: "
            f"`manage.py held {linked.source}` lists them"
        )
    for emptied in linked.emptied:
        yield (
            f"notice: {emptied.transform} got no row from {emptied.url} (fetch "
            f"{emptied.fetch_id}), which gave {emptied.record_count_before:,} before"
        )
    for problem in derivation.damaged:
        yield f"damaged: {problem}"


def replayed(done: Refreshed, *, as_of: datetime | None = None) -> Iterator[str]:
    """The lines about one source's replay: rows per table, what changed, what needs a look."""
    parsed, linked = done.derivation.parsed, done.derivation.linked
    yield (
        f"{done.source}: nothing is new since the last replay"
        if done.derivation.is_as_loaded
        else f"{done.source}: {many(parsed.payload_count, 'payload')} parsed"
    )
    for difference in done.loaded.differences.values():
        rows = linked.row_counts.get(difference.table)
        if difference.table.startswith("reshape_") or (rows is None and not difference.total):
            continue
        of = "" if rows is None else f"{rows:>10,} rows"
        yield f"  {difference.table:<32}{of:>16}  {counts([difference])}"
    yield from (f"  {notice}" for notice in notices(done.derivation))
    if as_of:
        yield (
            f"  the live rows stand as of {as_of:%Y-%m-%d %H:%M:%S} UTC until the "
            f"next replay; `manage.py replay {done.source}` brings the present back"
        )
    if done.loaded.withheld_count:
        yield (
            f"  {many(done.loaded.withheld_count, 'row')} kept that the readable segments do "
            "not explain. Restore the damaged segment, then replay."
        )


def replayed_plain(done: Refreshed) -> dict[str, Any]:
    """The same as plain values, for `--json`."""
    linked = done.derivation.linked
    return {
        "source": done.source,
        "payloads_parsed": done.derivation.parsed.payload_count,
        "tables": [as_json(difference) for difference in done.loaded.differences.values()],
        "held": linked.held_count,
        "quarantined": linked.quarantined_count,
        "emptied": [asdict(emptied) for emptied in linked.emptied],
        "damaged": done.derivation.damaged,
        "dependents": [replayed_plain(also) for also in done.dependents],
    }


def written_lines(derivation: Derivation, rows: Mapping[str, int]) -> Iterator[str]:
    """The lines about one source written into a file: rows per table, what needs a look."""
    yield f"{derivation.linked.source}:"
    for table, count in rows.items():
        yield f"  {table:<32}{count:>10,} rows"
    yield from (f"  {notice}" for notice in notices(derivation))
