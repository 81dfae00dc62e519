"""Which rows a connection gives: `first` and `after`, or `last` and `before`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from strawberry import UNSET

from ..errors import RequestRefused
from ..pages import DEFAULT_LIMIT, MAX_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows to give, counted from one end or from a cursor."""

    size: int
    cursor: str | None
    is_backward: bool

    def page(self, found: Sequence[Any]) -> tuple[list[Any], bool]:
        """The page of `size` + 1 rows as they were read, in order; and whether there are more."""
        rows = list(found[: self.size])
        return (rows[::-1] if self.is_backward else rows), len(found) > self.size

    def ends(self, has_more: bool) -> tuple[bool, bool]:
        """Whether a page has one before it and one after it. A cursor was a row's on that side."""
        came_from = self.cursor is not None
        return (has_more, came_from) if self.is_backward else (came_from, has_more)


def window_of(given: dict[str, Any]) -> Window:
    """The rows that a connection's arguments ask for. Raises `RequestRefused`."""
    first, after, last, before = (
        None if (value := given.get(name)) is UNSET else value
        for name in ("first", "after", "last", "before")
    )
    if (first is not None or after is not None) and (last is not None or before is not None):
        raise RequestRefused(
            "first and after walk forward, last and before backward; give one pair of them."
        )
    is_backward = last is not None or before is not None
    name, asked = ("last", last) if is_backward else ("first", first)
    size = DEFAULT_LIMIT if asked is None else asked
    if not 0 <= size <= MAX_LIMIT:
        raise RequestRefused(
            f"{name} is {size}; it is from 0 to {MAX_LIMIT}. "
            "Ask for the rows beyond with the page's cursor."
        )
    return Window(size=size, cursor=before if is_backward else after, is_backward=is_backward)
