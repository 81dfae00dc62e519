"""A host's row in the database as `Limits`, and back."""

from dataclasses import asdict
from datetime import UTC, datetime

from ..models import HostState
from .limits import Declared, Limits

CHANGING = (
    "not_before",
    "reason",
    "rate",
    "recovers_to",
    "changed_at",
    "consecutive_failures",
    "quota_rate",
    "quota_until",
    "crawl_delay",
    "declared",
    "set_rate",
    "set_concurrency",
)
_MOMENTS = frozenset({"not_before", "changed_at", "quota_until"})


def limits_of(row: HostState) -> Limits:
    """What the row says."""
    values = {name: getattr(row, name) for name in CHANGING}
    for name in _MOMENTS:
        values[name] = values[name].timestamp() if values[name] else 0.0
    values["declared"] = {
        feed: Declared(rate=told.get("rate"), concurrency=told.get("concurrency"))
        for feed, told in row.declared.items()
    }
    return Limits(**values)


def fill(row: HostState, limits: Limits) -> None:
    """Make the row say what `limits` say; it is not saved."""
    for name in CHANGING:
        setattr(row, name, getattr(limits, name))
    for name in _MOMENTS:
        seconds = getattr(limits, name)
        setattr(row, name, moment(seconds) if seconds else None)
    row.reason = limits.reason[:200]
    row.declared = {feed: asdict(told) for feed, told in limits.declared.items()}


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)
