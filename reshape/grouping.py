"""Groups of quarantine entries: ten thousand entries that say the same are one line.

Two entries are of one group where transform, kind of error, model, field and the shape of the
message are equal. The shape is the message without what differs from one payload to the next:
the offending value, quoted text, ids and numbers.
"""

import dataclasses
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

VALUES_SHOWN = 5


class Entry(Protocol):
    """What a group is made of: a `QuarantineEntry`."""

    transform: str
    feed: str
    fetch_id: UUID
    ordinal: int
    fetched_at: datetime
    error: str
    message: str
    model: str
    field: str
    value: str


@dataclasses.dataclass(slots=True, kw_only=True)
class Group:
    """Entries that say the same."""

    transform: str
    feed: str
    error: str
    model: str
    field: str
    message: str
    """The shape of their messages."""
    payload_count: int = 0
    """Payloads in quarantine whole."""
    row_count: int = 0
    """Rows in quarantine alone."""
    first_fetched_at: datetime
    last_fetched_at: datetime
    example: str
    """The newest entry, as `manage.py quarantine show` takes it."""
    values: list[str] = dataclasses.field(default_factory=list)
    """Some of the offending values."""

    @property
    def entry_count(self) -> int:
        return self.payload_count + self.row_count


def group(entries: Iterable[Entry]) -> list[Group]:
    """The groups of these entries, the largest first. Memory grows with the groups alone."""
    found: dict[tuple[str, ...], Group] = {}
    for entry in entries:
        shape = shape_of(entry.message, entry.value)
        key = (entry.transform, entry.error, entry.model, entry.field, shape)
        known = found.get(key)
        if known is None:
            known = found[key] = Group(
                transform=entry.transform,
                feed=entry.feed,
                error=entry.error,
                model=entry.model,
                field=entry.field,
                message=shape,
                first_fetched_at=entry.fetched_at,
                last_fetched_at=entry.fetched_at,
                example=name_of(entry),
            )
        _add(known, entry)
    return sorted(
        found.values(), key=lambda each: (-each.entry_count, each.transform, each.message)
    )


def name_of(entry: Entry) -> str:
    """How commands call an entry: `FETCH_ID`, or `FETCH_ID:ORDINAL` for a row."""
    return str(entry.fetch_id) if entry.ordinal < 0 else f"{entry.fetch_id}:{entry.ordinal}"


def _add(known: Group, entry: Entry) -> None:
    if entry.ordinal < 0:
        known.payload_count += 1
    else:
        known.row_count += 1
    known.first_fetched_at = min(known.first_fetched_at, entry.fetched_at)
    if entry.fetched_at >= known.last_fetched_at:
        known.last_fetched_at = entry.fetched_at
        known.example = name_of(entry)
    if entry.value and len(known.values) < VALUES_SHOWN and entry.value not in known.values:
        known.values.append(entry.value)


_LINE = re.compile(r"(\(line \d+ of [^()\s]+\))")
_MISSING = re.compile(r" is missing from the row \(.*\)\.", re.S)
_QUOTED = re.compile(r"""(?<!\w)b?(['"])(?:(?!\1)[^\\]|\\.)*?(?:\1(?!\w)|…|\Z)""", re.S)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I)
_DIGEST = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b", re.I)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def shape_of(message: str, value: str = "") -> str:
    """A message without what differs from one payload to the next.

    Quoted text and the offending value become `…`, ids and numbers `N`. The line of the
    transform stays: it is the same for all.
    """
    if value:
        message = message.replace(f"={value}:", "=…:", 1)
    message = _MISSING.sub(" is missing from the row.", message)
    parts = _LINE.split(message)
    return "".join(
        part
        if at % 2
        else _NUMBER.sub("N", _DIGEST.sub("N", _UUID.sub("N", _QUOTED.sub("…", part))))
        for at, part in enumerate(parts)
    )
