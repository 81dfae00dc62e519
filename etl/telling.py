"""What a replay tells people: counts of rows, and what they should look into."""

from collections.abc import Iterable, Iterator

from reshape.difference import Difference
from reshape.replay import Derivation


def many(count: int, what: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def counts(differences: Iterable[Difference]) -> str:
    """`3 added, 1 changed`, or `unchanged`."""
    listed = list(differences)
    said = [
        f"{count:,} {kind}"
        for kind in ("added", "changed", "removed")
        if (count := sum(getattr(difference, kind) for difference in listed))
    ]
    return ", ".join(said) or "unchanged"


def notices(derivation: Derivation) -> Iterator[str]:
    """What is in quarantine, held, emptied or damaged, each with the next step."""
    linked = derivation.linked
    if linked.quarantined_count:
        yield (
            f"{many(linked.quarantined_count, 'payload')} in quarantine: "
            f"`manage.py quarantine {linked.source}` says why"
        )
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
