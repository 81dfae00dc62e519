"""`Retry-After` (RFC 9110, 10.2.3): the pause that a host asks for, in seconds or until a date."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..pace import RETRIED

_LONGEST = 1e10


def pause_asked(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for, or None when it asks for nothing.

    A date is read against the server's own `Date`, so a clock that is off shortens no pause.
    Header names are in lower case.
    """
    value = headers.get("retry-after", "").strip()
    if status not in RETRIED or not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = http_date(value)
        if until is None:
            return None
        seconds = (until - (http_date(headers.get("date", "")) or now)).total_seconds()
    return max(0.0, seconds) if seconds < _LONGEST else None


def http_date(value: str) -> datetime | None:
    """The moment that an HTTP date names, or None for what is none."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
