"""Windows: the stretches of time that an extractor asks for, one after another.

What a live run asks for begins where the watermark stands; what a backfill asks for is one
partition of the past. The extractor is the same.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from .errors import ExtractorFailed
from .redact import Redactor

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `since` up to, and without, `until`; both in UTC."""

    since: datetime
    until: datetime


def windows_after(
    mark: datetime | None,
    now: datetime,
    *,
    start: datetime,
    step: timedelta | None = None,
    lag: timedelta = timedelta(0),
    overlap: timedelta = timedelta(0),
    whole: bool = False,
) -> Iterator[Window]:
    """The windows from a watermark (or `start`) up to `now` less `lag`.

    The first reaches `overlap` back before the mark, but not before `start`. They are cut at
    multiples of `step` (days begin at midnight UTC); with `whole` one that is not over is left out.
    """
    begin = start if mark is None else mark
    end = now - lag
    since = max(start, begin - overlap)
    while begin < end:
        until = end
        if step is not None:
            until = _EPOCH + step * ((begin - _EPOCH) // step + 1)
            if until > end:
                if whole:
                    return
                until = end
        yield Window(since=since, until=until)
        since = begin = until


def check_mark(value: Any, partition: str, redactor: Redactor) -> None:
    """Raise `ExtractorFailed` for a watermark that cannot be kept."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ExtractorFailed(
            f"A watermark must be something JSON holds; {redactor.scrub(repr(value))} "
            f"is not: {error}. "
            "Write a time as text: moment.isoformat()."
        ) from None
    if redactor.holds_secret([value, partition]):
        raise ExtractorFailed(
            "A watermark is kept in the database, and this one holds a secret: "
            f"{redactor.scrub(repr(value))}. Keep what says how far, such as a page or a "
            "time, without the token; where a name only sounds like a secret, declare it: "
            "@extractor(…, secrets=Secrets(keep=[…]))."
        )


def moment(value: "str | date | datetime", argument: str) -> datetime:
    """A moment in UTC: a date is its midnight, a time without a zone is UTC's.

    Raises `ExtractorFailed` naming the argument.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ExtractorFailed(
                f"{argument}={value!r} is no date or time; write 2024-01-31 or "
                "2024-01-31T12:00:00+00:00."
            ) from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- gets its zone below
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def length(value: "str | timedelta | None", argument: str) -> timedelta:
    """A duration: `90s`, `10m`, `6h`, `1d`; none is zero. Raises `ExtractorFailed`."""
    if value is None:
        return timedelta(0)
    if isinstance(value, timedelta):
        found = value
    else:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)
        found = timedelta(seconds=float(match[1]) * _UNITS[match[2]]) if match else timedelta(-1)
    if found < timedelta(0):
        raise ExtractorFailed(
            f"{argument}={value!r} is no duration; write a number and a unit: 90s, 10m, 6h, 1d."
        )
    return found


def mark_of(value: Any, partition: str) -> datetime | None:
    """The moment that a watermark holds. Raises `ExtractorFailed` where it is something else."""
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError("not text")
        found = datetime.fromisoformat(value)
    except ValueError:
        where = f" of {partition!r}" if partition else ""
        raise ExtractorFailed(
            f"The watermark{where} is {value!r}, which is no time; client.windows() keeps times. "
            "An extractor that kept something else before names another partition=."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
