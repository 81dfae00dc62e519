"""Ways for which each page says where the next one is: a link, an address, a cursor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ExtractorFailed
from . import links, places
from .asking import Asked, Way

if TYPE_CHECKING:
    from ..response import Response

Finder = Callable[["Response"], str | None]


def link_header(relation: str = "next") -> Way:
    """The `Link` header's target with this relation (RFC 8288); without one a page is the last."""

    def find(response: "Response") -> str | None:
        values = [value for name, value in response.pairs if name.lower() == "link"]
        return links.linked(values, relation, str(response.url))

    return _NextUrl(find)


def next_url(at: str | Finder) -> Way:
    """The address of the next page: at a place in the page's JSON, `"links.next"`, or whatever a
    function finds in the response. Without one a page is the last."""
    if not isinstance(at, str):
        return _NextUrl(at)
    place = at

    def find(response: "Response") -> str | None:
        found = places.look(places.body_of(response), place, response)
        if found is places.MISSING or not found:
            return None
        # {"next": {"href": "…"}} is as common as {"next": "…"}.
        if isinstance(found, Mapping) and isinstance(found.get("href"), str):
            return str(found["href"])
        if not isinstance(found, str):
            raise ExtractorFailed(
                f"Page {response.payload.url} has {found!r} at {place!r}, where an address is "
                "expected."
            )
        return found

    return _NextUrl(find)


def cursor(
    at: str | None = None,
    *,
    at_header: str | None = None,
    parameter: str | None = None,
    field: str | None = None,
    header: str | None = None,
    more: str | None = None,
) -> Way:
    """A token that a page gives and the next request sends back.

    It stands at a place in the page's JSON (`at="meta.next"`, `at="data.-1.id"` for the last
    item's) or in a header (`at_header`). It is sent as a `parameter`, at a place in the JSON body
    (`field="variables.after"`) or as a `header`. A page without one is the last, and so is one
    that has false at `more`. Raises `ValueError` where it is not said how.
    """
    if (at is None) == (at_header is None):
        raise ValueError("cursor(…) takes at=, a place in the page's JSON, or at_header=; one.")
    if sum(each is not None for each in (parameter, field, header)) != 1:
        raise ValueError(
            "cursor(…) takes parameter=, field= (a place in the JSON body) or header=; one of "
            "them: how the cursor is sent."
        )
    return _Cursor(at, at_header, parameter, field, header, more)


@dataclass(frozen=True, slots=True)
class _NextUrl:
    find: Finder
    is_ended_by_repeats: bool = False

    def first(self, asked: Asked) -> Asked:
        return asked

    def following(self, asked: Asked, response: "Response") -> Asked | None:
        found = self.find(response)
        return replace(asked, url=str(response.url.join(found))) if found else None


@dataclass(frozen=True, slots=True)
class _Cursor:
    at: str | None
    at_header: str | None
    parameter: str | None
    field: str | None
    header: str | None
    more: str | None
    is_ended_by_repeats: bool = False

    def first(self, asked: Asked) -> Asked:
        return asked

    def following(self, asked: Asked, response: "Response") -> Asked | None:
        if self.more is not None:
            has_more = places.look(places.body_of(response), self.more, response)
            if has_more is places.MISSING or not has_more:
                return None
        found = self._found(response)
        if found is None:
            if self.more is not None:
                raise ExtractorFailed(
                    f"Page {response.payload.url} says at {self.more!r} that there is more, but "
                    f"has no cursor at {self.at or self.at_header!r}."
                )
            return None
        if self.parameter is not None:
            return asked.with_parameters(**{self.parameter: found})
        if self.header is not None:
            return asked.with_header(self.header, str(found))
        assert self.field is not None
        return replace(asked, json=places.put(asked.json, self.field, found))

    def _found(self, response: "Response") -> Any:
        if self.at is None:
            return response.headers.get(self.at_header or "") or None
        found = places.look(places.body_of(response), self.at, response)
        if found is places.MISSING or found is None or found is False or found == "":
            return None
        if isinstance(found, dict | list):
            raise ExtractorFailed(
                f"Page {response.payload.url} has a {type(found).__name__} at {self.at!r}, where a "
                "cursor (text or a number) is expected."
            )
        return found
