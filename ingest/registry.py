"""The extractors the sources declare."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from raw_store import feeds

ExtractorFunction = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """The async function that requests a feed's pages, and when it runs."""

    feed: feeds.Feed
    function: ExtractorFunction
    every: str | None = None
    """An interval such as `30s`, `5m`, `2h`, `1d`."""
    cron: str | None = None
    """A cron expression, in UTC."""
