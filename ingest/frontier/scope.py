"""How far a crawl goes: which of the addresses that it finds are asked for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import httpx

from ..errors import ExtractorFailed
from ..wire.request import with_real_port

Within = Literal["host", "prefix", "anywhere"]
_LONGEST = 4_096
"""Characters; traps for crawlers make longer ones."""
_BREAKS = dict.fromkeys(map(ord, "\t\r\n"))
"""Where a page's source breaks a line within an address; browsers leave them out, too."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Judges addresses; made by `Scope.of`."""

    within: Within
    hosts: frozenset[tuple[bytes, int | None]]
    prefixes: tuple[str, ...]
    allow: tuple["re.Pattern[str]", ...]
    deny: tuple["re.Pattern[str]", ...]
    depth: int | None

    @classmethod
    def of(
        cls,
        start: Iterable[str],
        *,
        within: Within = "host",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        depth: int | None = None,
    ) -> "Scope":
        """The scope around addresses. Raises `ExtractorFailed` for one that cannot be meant."""
        if within not in get_args(Within):
            raise ExtractorFailed(
                f'crawl(within={within!r}) is none of "host", "prefix" and "anywhere".'
            )
        if isinstance(allow, str) or isinstance(deny, str):
            raise ExtractorFailed('allow= and deny= are lists of regular expressions, [r"…"].')
        addresses = [httpx.URL(each) for each in start]
        return cls(
            within=within,
            hosts=frozenset((url.raw_host, url.port) for url in addresses),
            prefixes=tuple(_folder(url) for url in addresses),
            allow=tuple(_compiled(each) for each in allow),
            deny=tuple(_compiled(each) for each in deny),
            depth=depth,
        )

    def holds(self, url: str, depth: int = 0) -> bool:
        """Whether an address at this many links from the start is asked for."""
        if len(url) > _LONGEST or (self.depth is not None and depth > self.depth):
            return False
        if self.within == "host":
            address = httpx.URL(url)
            if (address.raw_host, address.port) not in self.hosts:
                return False
        elif self.within == "prefix" and not url.startswith(self.prefixes):
            return False
        if self.allow and not any(each.search(url) for each in self.allow):
            return False
        return not any(each.search(url) for each in self.deny)


def absolute(base: httpx.URL, link: str) -> str | None:
    """An http(s) address as it is asked for, without its fragment; None for anything else."""
    try:
        url = with_real_port(base.join(link.strip().translate(_BREAKS)))
    except (httpx.InvalidURL, ValueError):
        return None
    # Not `.host`: it decodes, and some names that are in use (of emoji) do not decode.
    if url.scheme not in ("http", "https") or not url.raw_host:
        return None
    # Nobody but the extractor says who it is.
    return str(url.copy_with(fragment=None, userinfo=b""))


def _folder(url: httpx.URL) -> str:
    path = url.path.rpartition("/")[0] + "/"
    return str(url.copy_with(path=path, query=None, fragment=None))


def _compiled(pattern: str) -> "re.Pattern[str]":
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ExtractorFailed(f"{pattern!r} is no regular expression: {error}.") from None
