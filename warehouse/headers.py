"""The headers of a rollup's file: lines of its leading comment that say more than a SELECT can.

    -- key: day, station_id              the columns that tell its rows apart
    -- link: place -> quakes.Station     a column whose values are a model's key
    -- refresh: every 1h                 when its rows are computed again
    -- assert: quake_count > 0           what must hold before anything is published

The comment's other lines are the rollup's description.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from .errors import HeaderInvalid

_HEADER = re.compile(r"--\s*([A-Za-z_]+)\s*:(.*)")
_NAMES = ("key", "link", "refresh", "assert")
_LINK = re.compile(r"(\w+)\s*(?:->|→)\s*(\w+(?:\.\w+)?)")
_EVERY = re.compile(r"every\s+(\d+)\s*([smhdw])", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """When a rollup is computed again."""

    when: Literal["on change", "always", "every"] = "on change"
    every: timedelta | None = None
    """With `every`: the least time between two computations."""

    def __str__(self) -> str:
        if self.every is None:
            return self.when
        seconds = int(self.every.total_seconds())
        unit = next(unit for unit in "wdhms" if not seconds % _seconds(unit))
        return f"every {seconds // _seconds(unit)}{unit}"


@dataclass(slots=True)
class Headers:
    """What the leading comment of one file says."""

    description: str = ""
    key: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    """Column to the model its values are keys of, as written."""
    refresh: Refresh = field(default_factory=Refresh)
    asserts: list[str] = field(default_factory=list)
    misspelt: list[str] = field(default_factory=list)
    """Lines that are nearly a header, each with the header that may be meant."""


def read_headers(sql: str) -> Headers:
    """Read the comment that `sql` begins with. Raises `HeaderInvalid` for a malformed header."""
    headers = Headers()
    described: list[str] = []
    seen: set[str] = set()
    for line in sql.splitlines():
        line = line.strip()
        if line and not line.startswith("--"):
            break
        found = _HEADER.fullmatch(line)
        name = found[1].lower() if found else ""
        if found is None or name not in _READ:
            if near := difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.75):
                headers.misspelt.append(f"{line!r} looks like the header {near[0]}")
            described.append(line.removeprefix("--").strip())
            continue
        if name in seen and name in ("key", "refresh"):
            raise HeaderInvalid(f"it has two `-- {name}:` lines; one says all")
        seen.add(name)
        _READ[name](headers, found[2].strip())
    headers.description = "\n".join(described).strip()
    return headers


def _read_key(headers: Headers, value: str) -> None:
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise HeaderInvalid(
            f"its `-- key: {value}` is not a list of columns; write `-- key: day, station_id`"
        )
    if len(set(names)) < len(names):
        raise HeaderInvalid(f"its `-- key: {value}` names a column twice")
    headers.key = names


def _read_link(headers: Headers, value: str) -> None:
    found = _LINK.fullmatch(value)
    if found is None:
        raise HeaderInvalid(
            f"its `-- link: {value}` is not a column and a model; write `-- link: place -> Station`"
        )
    if found[1] in headers.links:
        raise HeaderInvalid(f"it links the column {found[1]} twice")
    headers.links[found[1]] = found[2]


def _read_refresh(headers: Headers, value: str) -> None:
    words = " ".join(value.lower().split())
    if words in ("always", "on change"):
        headers.refresh = Refresh(when="always" if words == "always" else "on change")
        return
    found = _EVERY.fullmatch(words)
    if found is None or not int(found[1]):
        raise HeaderInvalid(
            f"its `-- refresh: {value}` is none of `on change`, `always` and `every 1h` "
            "(a number and s, m, h, d or w)"
        )
    try:
        every = timedelta(seconds=int(found[1]) * _seconds(found[2]))
    except OverflowError:
        raise HeaderInvalid(f"its `-- refresh: {value}` is longer than time is counted") from None
    headers.refresh = Refresh(when="every", every=every)


def _read_assert(headers: Headers, value: str) -> None:
    if not value:
        raise HeaderInvalid(
            "it has an empty `-- assert:`; write what must be true of every row, "
            "or a SELECT of the rows that must not be there"
        )
    headers.asserts.append(value)


def _seconds(unit: str) -> int:
    return int(timedelta(**{_UNITS[unit]: 1}).total_seconds())


_READ: dict[str, Callable[[Headers, str], None]] = {
    "key": _read_key,
    "link": _read_link,
    "refresh": _read_refresh,
    "assert": _read_assert,
}
