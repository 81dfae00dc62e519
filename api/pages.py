"""Pages: which rows of a list an answer holds. A list is never without bounds."""

import strawberry

from .errors import RequestRefused

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@strawberry.input(name="Pagination", description="Which rows of a list to give.")
class Pagination:
    """An offset and a limit, as a client asks for them."""

    offset: int = strawberry.field(default=0, description="How many rows to leave out first.")
    limit: int = strawberry.field(
        default=DEFAULT_LIMIT, description=f"How many rows to give, at most {MAX_LIMIT}."
    )


def bounds(page: Pagination | None) -> tuple[int, int]:
    """The offset and limit of a page; raises `RequestRefused` for one out of bounds."""
    asked = page or Pagination()
    if asked.offset < 0:
        raise RequestRefused(
            f"pagination.offset is {asked.offset}; it counts rows to leave out, from 0."
        )
    if not 0 <= asked.limit <= MAX_LIMIT:
        raise RequestRefused(
            f"pagination.limit is {asked.limit}; it is from 0 to {MAX_LIMIT}. "
            "Ask for the following rows with pagination.offset."
        )
    return asked.offset, asked.limit
