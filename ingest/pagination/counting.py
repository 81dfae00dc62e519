"""Ways that count: page numbers and offsets, and what tells that the last page was met."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ..errors import ExtractorFailed
from . import places
from .asking import Asked, Way

if TYPE_CHECKING:
    from ..response import Response


def page_number(
    parameter: str = "page",
    *,
    first: int = 1,
    size: int | None = None,
    size_parameter: str | None = None,
    items: str | None = None,
    total: str | None = None,
    pages: str | None = None,
) -> Way:
    """Pages numbered from `first`.

    The last one is told by an empty page, by one with fewer than `size` items, by the `total` of
    items or the number of `pages` (places in the JSON, or `header:NAME`), by a 404, or by the same
    page again. `items` is the place of a page's items, needed unless a page is one JSON list.
    `size` is sent where `size_parameter` names how.
    """
    _refuse_size(size)
    return _Counting(parameter, first, False, size, size_parameter, items, total, pages)


def offset(
    parameter: str = "offset",
    *,
    size: int,
    size_parameter: str | None = "limit",
    first: int = 0,
    items: str | None = None,
    total: str | None = None,
) -> Way:
    """Pages of `size` items, each asked for by the number of items before it.

    The last one is told as for `page_number`.
    """
    _refuse_size(size)
    return _Counting(parameter, first, True, size, size_parameter, items, total, None)


@dataclass(frozen=True, slots=True)
class _Counting:
    parameter: str
    start: int
    counts_items: bool
    size: int | None
    size_parameter: str | None
    items: str | None
    total: str | None
    pages: str | None
    is_ended_by_repeats: bool = True

    def first(self, asked: Asked) -> Asked:
        # An extractor that starts further on says so in its own parameters.
        if self.parameter not in httpx.URL(asked.url).params:
            asked = asked.with_parameters(**{self.parameter: self.start})
        if self.size_parameter and self.size is not None:
            asked = asked.with_parameters(**{self.size_parameter: self.size})
        return asked

    def following(self, asked: Asked, response: "Response") -> Asked | None:
        said = httpx.URL(asked.url).params[self.parameter]
        if not said.lstrip("-").isdecimal():
            raise ExtractorFailed(
                f"{self.parameter}={said!r} in {response.payload.url} is not a whole number."
            )
        here = int(said)
        count = places.count_items(response, self.items)
        total, pages = self._number(response, self.total), self._number(response, self.pages)
        if count is None and total is None and pages is None and _is_object(response):
            raise ExtractorFailed(
                f"Page {response.payload.url} is an object, and nothing says how many items it "
                'holds. Name their place: items="results".'
            )
        if count == 0 or (count is not None and self.size is not None and count < self.size):
            return None
        if pages is not None and here + 1 >= pages + self.start:
            return None
        if total is not None and (done := self._done(here, count)) is not None and done >= total:
            return None
        step = self.size if self.counts_items and self.size else 1
        return asked.with_parameters(**{self.parameter: here + step})

    def _done(self, here: int, count: int | None) -> int | None:
        """Items up to the end of this page; None where nobody can know."""
        size = self.size if self.size is not None else count
        if size is None:
            return None
        return here - self.start + size if self.counts_items else (here - self.start + 1) * size

    def _number(self, response: "Response", place: str | None) -> int | None:
        if place is None:
            return None
        if place.startswith("header:"):
            found = response.headers.get(place.removeprefix("header:").strip())
        else:
            found = places.look(places.body_of(response), place, response)
        if found is places.MISSING or found is None:
            return None
        try:
            return int(found)
        except (TypeError, ValueError):
            raise ExtractorFailed(
                f"Page {response.payload.url} has {found!r} at {place!r}, where a number is "
                "expected."
            ) from None


def _is_object(response: "Response") -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _refuse_size(size: int | None) -> None:
    if size is not None and size < 1:
        raise ValueError(f"size= is the number of items of a page, above zero; got {size}.")
