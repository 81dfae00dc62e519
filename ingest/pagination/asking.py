"""What is asked for one page, and what a way to the next one is."""

import hashlib
import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_plus

import httpx

if TYPE_CHECKING:
    from ..response import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request for one page, before it is written."""

    url: str
    """With its parameters."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, url: str, params: Any = None, **values: Any) -> "Asked":
        """A request whose parameters are written into its address."""
        return cls(url=url if params is None else str(httpx.URL(url, params=params)), **values)

    def with_parameters(self, **values: object) -> "Asked":
        """The same request with these parameters set, the others to the letter as they were: a
        server may read `%20` and `+`, or `flag` and `flag=`, as two things."""
        url = httpx.URL(self.url)
        given = {name: str(httpx.QueryParams({name: str(value)})) for name, value in values.items()}
        parts: list[str] = []
        for part in url.query.decode("ascii").split("&") if url.query else ():
            name = unquote_plus(part.partition("=")[0])
            if name not in values:
                parts.append(part)
            elif name in given:
                parts.append(given.pop(name))
        query = "&".join([*parts, *given.values()])
        return replace(self, url=str(url.copy_with(query=query.encode("ascii"))))

    def with_header(self, name: str, value: str) -> "Asked":
        return replace(self, headers={**self.headers, name: value})

    @property
    def digest(self) -> bytes:
        """The same for two requests that ask for the same."""
        said = [self.method, self.url, sorted(self.headers.items()), self.json, self.data]
        written = json_module.dumps(said, sort_keys=True, default=str)
        return hashlib.sha256(written.encode()).digest()


class Way(Protocol):
    """How one finds the next page."""

    def first(self, asked: Asked) -> Asked:
        """The request for the first page, from what the extractor asks for."""
        ...

    def following(self, asked: Asked, response: "Response") -> Asked | None:
        """The request for the page after the one that `asked` gave; None after the last one.

        Raises `ExtractorFailed` where a page does not say what it should.
        """
        ...

    @property
    def is_ended_by_repeats(self) -> bool:
        """Whether the same page again is how a server says that there are no more."""
        ...
