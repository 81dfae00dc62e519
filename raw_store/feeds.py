"""The feeds the program knows: what the archive and the transforms need to know of each.

A feed is declared by its extractor (`@extractor`); its name is `source.feed`.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from .errors import UnknownFeed, closest_first

Current = Literal["latest", "run", "all"]


@dataclass(frozen=True, slots=True)
class QuarantineLimit:
    """How much of a feed may be in quarantine before a replay no longer loads its source."""

    value: float
    is_share: bool
    """Whether `value` is a share of what is newest, in percent, or a count."""

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.is_share else f"{self.value:,g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One kind of thing a source publishes."""

    name: str
    """Written `source.feed`, for example `quakes.day`."""
    current: Current = "latest"
    """Which versions count for the feed's state."""
    keep_encoded: bool = False
    """Whether the bytes as transferred are archived beside the decoded body."""
    key_headers: tuple[str, ...] = field(default=())
    """Request headers that, beside method, URL and body, tell two requests apart."""
    keep_bodies: timedelta | None = None
    """How long after its last sighting a body is kept (`raw_store.retention`); null: for ever."""
    quarantine_limit: "QuarantineLimit | None" = None
    """How much may be in quarantine before replays stop loading; null: however much."""

    @property
    def source(self) -> str:
        return self.name.partition(".")[0]


_feeds: dict[str, Feed] = {}
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


def declare(feed: Feed) -> Feed:
    """Make a feed known; declaring it again replaces it."""
    source, dot, rest = feed.name.partition(".")
    if not (source.isidentifier() and dot and rest.replace(".", "_").isidentifier()):
        raise ValueError(f"A feed is named source.feed, for example quakes.day; got {feed.name!r}.")
    if feed.current not in ("latest", "run", "all"):
        raise ValueError(
            f'Feed {feed.name}: current must be "latest", "run" or "all"; got {feed.current!r}.'
        )
    _feeds[feed.name] = feed
    return feed


def parse_retention(text: str) -> timedelta:
    """`36h`, `90d` or `52w` as a duration. Raises `ValueError` saying what is allowed."""
    match = re.fullmatch(r"([1-9]\d{0,5})([hdw])", text)
    if not match:
        raise ValueError(
            f"{text!r} is no time to keep bodies for; write a whole number above zero and a unit, "
            "for example 36h, 90d or 52w."
        )
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def parse_quarantine_limit(limit: "str | int") -> QuarantineLimit:
    """`"5%"` as a share, `100` as a count. Raises `ValueError` saying what is allowed."""
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        return QuarantineLimit(float(limit), is_share=False)
    match = (
        re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", limit) if isinstance(limit, str) else None
    )
    if not match or float(match[1]) > 100:
        raise ValueError(
            f'{limit!r} is no limit of a quarantine; write a share such as "5%" (of 0 to 100), or '
            "a whole number of payloads and rows such as 100."
        )
    return QuarantineLimit(float(match[1]), is_share=True)


def get(name: str) -> Feed:
    """Return a feed by name, or raise `UnknownFeed` listing the known ones, closest first."""
    try:
        return _feeds[name]
    except KeyError:
        raise UnknownFeed(_unknown("feed", name, _feeds)) from None


def all_feeds() -> list[Feed]:
    """Every declared feed, by name."""
    return [_feeds[name] for name in sorted(_feeds)]


def feeds_of(source: str) -> list[Feed]:
    """The feeds of one source, or raise `UnknownFeed` listing the known sources."""
    found = [feed for feed in all_feeds() if feed.source == source]
    if not found:
        raise UnknownFeed(_unknown("source", source, {feed.source for feed in all_feeds()}))
    return found


def select(names: list[str]) -> list[Feed]:
    """The feeds that `names` (feeds or whole sources) mean; all of them when none is given."""
    if not names:
        return all_feeds()
    chosen: dict[str, Feed] = {}
    for name in names:
        for feed in [get(name)] if "." in name else feeds_of(name):
            chosen[feed.name] = feed
    return list(chosen.values())


def _unknown(kind: str, name: str, known: "dict[str, Feed] | set[str]") -> str:
    listed = ", ".join(closest_first(name, known)) or "none: no source declares an extractor yet"
    return f"There is no {kind} {name!r}. Known {kind}s, closest first: {listed}."
