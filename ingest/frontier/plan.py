"""What a crawl is to do, what it gives to the extractor, and what it needs of its run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self
from uuid import UUID

from .scope import Scope

if TYPE_CHECKING:
    from ..response import Response

FindLinks = Callable[["Response"], Iterable[str]]


class Acknowledging(Protocol):
    """What a crawl needs of its run."""

    @property
    def feed(self) -> str: ...
    @property
    def run_id(self) -> UUID: ...
    def at_each_seal(self, ask: Callable[[], Callable[[], None] | None]) -> None:
        """Call `ask` whenever rows are fixed; what it returns runs in their transaction."""
        ...

    def seal_soon(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a crawl is to do."""

    start: tuple[str, ...]
    scope: Scope
    find_links: FindLinks | None
    sitemaps: tuple[str, ...]
    reads_robots: bool
    concurrency: int
    at_risk: int

    @classmethod
    def of(
        cls,
        start: tuple[str, ...],
        scope: Scope,
        *,
        links: FindLinks | None,
        sitemaps: tuple[str, ...],
        concurrency: int,
        at_risk: int | None,
    ) -> Self:
        """A plan as `Client.crawl` is asked for one: `"robots"` may be among the sitemaps."""
        at_once = max(concurrency, 1)
        return cls(
            start=start,
            scope=scope,
            find_links=links,
            sitemaps=tuple(each for each in sitemaps if each != "robots"),
            reads_robots="robots" in sitemaps,
            concurrency=at_once,
            at_risk=max(at_once, at_risk or 10 * at_once),
        )


class Visited:
    """A page that a crawl was given."""

    def __init__(self, url: str, depth: int, response: "Response") -> None:
        self.url = url
        """As it was found; `response.url` is where redirects led."""
        self.depth = depth
        """How many links it is away from the start."""
        self.response = response
        self._followed: list[tuple[str, int]] = []

    def follow(self, urls: str | Iterable[str], *, priority: int = 0) -> None:
        """Ask for more addresses, relative ones too; those of a higher priority come first."""
        for url in [urls] if isinstance(urls, str) else urls:
            self._followed.append((url, priority))

    @property
    def followed(self) -> list[tuple[str, int]]:
        return self._followed
